"""MS1MV2, ResNet-50, AdaFace, as https://github.com/mk-minchul/AdaFace trains it; the learning rate is meant for 8
ranks (a batch of 512). Statistics of norms are the global batch's, there each card's.

Its authors report LFW 99.82, CFP-FP 97.86, AgeDB-30 97.85 %; TAR at FAR 1e-4 on IJB-B 94.82, on IJB-C 96.27 %.
"""

from configs.datasets.emore import config

config.network = "r50"
config.loss = "adaface"
config.batch_size = 64
config.weight_decay = 1e-4
config.num_epoch = 26
config.lr_schedule = "multistep"
config.decay_epoch = (12, 20, 24)
config.clip_grad_norm = 0
config.augment = {"crop_pad": 0.2, "low_resolution": 0.2, "color": 0.2}
