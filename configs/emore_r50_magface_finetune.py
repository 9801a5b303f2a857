"""MS1MV2, ResNet-50: MagFace from weights that another loss trained, which go on the command line, as pretrained=RUN.

l_a and u_a are MagFace's for models whose embeddings have norms of 1 to 51; `python tools/face_quality.py` measures
those of a model and proposes both. The rate, the epochs and their steps are ours, for 8 ranks (a batch of 512).
"""

from configs.datasets.emore import config

config.network = "r50"
config.loss = "magface(l_a=1, u_a=51, l_m=0.45, u_m=1, lambda_g=5)"
config.batch_size = 64
config.lr = 0.01
config.num_epoch = 10
config.lr_schedule = "multistep"
config.decay_epoch = (5, 8)
config.clip_grad_norm = 0
