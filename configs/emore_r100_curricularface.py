"""MS1MV2, ResNet-100, CurricularFace, as https://github.com/HuangYG123/CurricularFace trains it; the learning rate is
meant for 8 ranks (a batch of 512).

Its authors report LFW 99.80, CFP-FP 98.36, AgeDB-30 98.37 %; TAR at FAR 1e-4 on IJB-B 94.86, on IJB-C 96.15 %.
"""

from configs.datasets.emore import config

config.network = "r100"
config.loss = "curricularface"
config.batch_size = 64
config.num_epoch = 24
config.lr_schedule = "multistep"
config.decay_epoch = (10, 18, 22)
config.clip_grad_norm = 0
