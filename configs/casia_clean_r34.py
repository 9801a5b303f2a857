"""CASIA-WebFace as cleaned by sub-centers (see casia_r34_subcenter), ResNet-34, ArcFace, for 8 ranks (a batch of 512).

How many images and identities there are is read from the cleaned set.
"""

from configs.casia_r34_keras import config

config.ofrecord_path = "datasets/casia_clean/ofrecord"
config.num_classes = config.num_image = None
