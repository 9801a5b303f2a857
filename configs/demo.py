"""Drawn faces (tools/make_demo_dataset.py), small enough for two CPU ranks: the whole way in a few minutes."""

from easydict import EasyDict as edict

config = edict()
config.network = "mbf_tiny"
config.embedding_size = 128

# A milder margin and scale than for millions of photographs: there are few identities and few steps.
config.margin_list = (1.0, 0.0, 0.2)
config.logit_scale = 32.0

config.ofrecord_path = "demo_data/ofrecord"
config.val_targets = ("demo",)

config.batch_size = 64
config.lr = 0.2
config.num_epoch = 3
config.warmup_epoch = 0.5
config.verbose = 100
