"""WebFace42M, MobileFaceNet, CosFace, Partial FC; meant for 16 ranks (a batch of 8192)."""

from configs.datasets.webface42m import config

config.network = "mbf"
config.loss = "cosface"
config.fp16 = True
config.sample_rate = 0.2
config.weight_decay = 1e-4
config.batch_size = 512
config.lr = 0.4
config.warmup_epoch = 2
config.verbose = 10000
