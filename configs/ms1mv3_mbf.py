"""MS1MV3, MobileFaceNet, ArcFace; the learning rate is meant for 8 ranks (a batch of 1024)."""

from configs.datasets.ms1mv3 import config

config.network = "mbf"
config.loss = "arcface"
config.fp16 = True
config.weight_decay = 1e-4
config.num_epoch = 40
