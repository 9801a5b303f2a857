"""CASIA-WebFace, MobileFaceNet with embeddings of 512, ArcFace and a teacher's embeddings of the images:

    python tools/embed.py datasets/casia/ofrecord --model_path TEACHER --out datasets/casia/teacher.npy --dtype float16

The rate is meant for 8 ranks (a batch of 512). https://github.com/leondgarse/Keras_insightface
reports, for another mobile network of 512 with a ResNet-100 as teacher: LFW 98.38 -> 99.55, CFP-FP 87.30 -> 93.76,
AgeDB-30 86.97 -> 94.65 %.
"""

from configs.datasets.casia import config

config.network = "mbf"
config.embedding_size = 512
config.loss = "arcface + 128 * distillation"
config.teacher = "datasets/casia/teacher.npy"
config.dropout = 0.4
config.batch_size = 64
config.optimizer = "sgdw"
config.num_epoch = 40
config.lr_schedule = "multistep"
config.decay_epoch = (20, 30)
