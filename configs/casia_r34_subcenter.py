"""CASIA-WebFace, ResNet-34, ArcFace with three centers a class, by whose votes tools/clean_dataset.py drops wrong
labels; casia_clean_r34 then trains on the rest. The learning rate is meant for 8 ranks (a batch of 512).

Of 490,623 images https://github.com/leondgarse/Keras_insightface keeps 466,276.
"""

from configs.datasets.casia import config

config.network = "r34"
config.loss = "arcface"
config.centers_per_class = 3
config.dropout = 0.4
config.batch_size = 64
config.num_epoch = 40
config.lr_schedule = "multistep"
config.decay_epoch = (20, 30)
