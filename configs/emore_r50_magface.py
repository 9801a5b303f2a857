"""MS1MV2, ResNet-50, MagFace, as https://github.com/IrvingMeng/MagFace trains it; the learning rate is meant for 8
ranks (a batch of 512).

Its authors publish this model and its log without a table of figures.
"""

from configs.datasets.emore import config

config.network = "r50"
config.loss = "magface"
config.batch_size = 64
config.num_epoch = 25
config.lr_schedule = "multistep"
config.decay_epoch = (10, 18, 22)
config.clip_grad_norm = 0
