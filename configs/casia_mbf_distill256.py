"""As casia_mbf_distill512, with embeddings of 256; a teacher of 512 is met by a projection that trains along."""

from configs.casia_mbf_distill512 import config

config.embedding_size = 256
