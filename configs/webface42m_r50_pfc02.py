"""WebFace42M, ResNet-50, CosFace, Partial FC; the learning rate is meant for 8 ranks (a batch of 4096)."""

from configs.datasets.webface42m import config

config.network = "r50"
config.loss = "cosface"
config.fp16 = True
config.sample_rate = 0.2
config.batch_size = 512
config.lr = 0.4
config.warmup_epoch = 2
config.verbose = 10000
