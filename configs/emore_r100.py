"""MS1MV2 (faces_emore), ResNet-100, ArcFace; the learning rate is meant for 8 ranks (a batch of 1024)."""

from configs.datasets.emore import config

config.network = "r100"
config.loss = "arcface"
config.fp16 = True
