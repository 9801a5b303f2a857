"""MS1MV3, ResNet-34, ArcFace; the learning rate is meant for 8 ranks (a batch of 1024)."""

from configs.datasets.ms1mv3 import config

config.network = "r34"
config.loss = "arcface"
config.fp16 = True
