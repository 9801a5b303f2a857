"""Glint360K, ResNet-18, CosFace; the learning rate is meant for 8 ranks (a batch of 1024)."""

from configs.datasets.glint360k import config

config.network = "r18"
config.loss = "cosface"
config.fp16 = True
config.weight_decay = 1e-4
