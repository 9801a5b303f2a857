"""MS1MV2, ResNet-100, MagFace, as https://github.com/IrvingMeng/MagFace trains it; the learning rate is meant for 8
ranks (a batch of 512).

The paper reports, with r100: LFW 99.83, CFP-FP 98.46, AgeDB-30 98.17 %; TAR at FAR 1e-4 on IJB-B 94.51, on IJB-C
95.97 %.
"""

from configs.datasets.emore import config

config.network = "r100"
config.loss = "magface"
config.batch_size = 64
config.num_epoch = 25
config.lr_schedule = "multistep"
config.decay_epoch = (10, 18, 22)
config.clip_grad_norm = 0
