"""WebFace42M, ResNet-100, CosFace, Partial FC; the learning rate is meant for 8 ranks (a batch of 1024)."""

from configs.datasets.webface42m import config

config.network = "r100"
config.loss = "cosface"
config.fp16 = True
config.sample_rate = 0.2
config.verbose = 10000
