"""MS1MV2, ResNet-100, AdaFace, as https://github.com/mk-minchul/AdaFace trains it; the learning rate is meant for 8
ranks (a batch of 512). Statistics of norms are the global batch's, there each card's.

Its authors report LFW 99.82, CFP-FP 98.49, AgeDB-30 98.05 %; TAR at FAR 1e-4 on IJB-B 95.67, on IJB-C 96.89 %.
"""

from configs.datasets.emore import config

config.network = "r100"
config.loss = "adaface"
config.batch_size = 64
config.weight_decay = 1e-4
config.num_epoch = 26
config.lr_schedule = "multistep"
config.decay_epoch = (12, 20, 24)
config.clip_grad_norm = 0
config.augment = {"crop_pad": 0.2, "low_resolution": 0.2, "color": 0.2}
