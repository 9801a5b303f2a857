"""VGGFace2, ResNet-18, AdaFace, as https://github.com/mk-minchul/AdaFace trains it; the learning rate is meant for 8
ranks (a batch of 512). Statistics of norms are the global batch's, there each card's.

Its authors report LFW 99.47, CFP-FP 97.13, AgeDB-30 94.07 %; TAR at FAR 1e-4 on IJB-B 90.67, on IJB-C 92.95 %.
"""

from configs.datasets.vgg2 import config

config.network = "r18"
config.loss = "adaface"
config.batch_size = 64
config.weight_decay = 1e-4
config.num_epoch = 26
config.lr_schedule = "multistep"
config.decay_epoch = (12, 20, 24)
config.clip_grad_norm = 0
config.augment = {"crop_pad": 0.2, "low_resolution": 0.2, "color": 0.2}
