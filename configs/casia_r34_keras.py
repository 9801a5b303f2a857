"""CASIA-WebFace, ResNet-34, ArcFace, as https://github.com/leondgarse/Keras_insightface trains it: an epoch at scale
32, then 40 at 64; the learning rate is meant for a batch of 512, such as 8 ranks.

Its author reports LFW 99.42, CFP-FP 95.09, AgeDB-30 94.73 %.
"""

from configs.datasets.casia import config

config.network = "r34"
config.dropout = 0.4
config.batch_size = 64
config.clip_grad_norm = 0
config.phases = [
    {"loss": "arcface(s=32)", "num_epoch": 1, "lr_schedule": "constant"},
    {"loss": "arcface(s=64)", "num_epoch": 40, "lr_schedule": "multistep(epochs=(19, 29))"},
]
