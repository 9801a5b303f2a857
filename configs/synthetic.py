"""Random images and labels in the size of MS1MV3's classifier: measures speed, learns nothing."""

from easydict import EasyDict as edict

config = edict()
config.network = "r50"
config.synthetic = True
config.num_classes = 93431
config.num_image = 1_000_000
config.batch_size = 64
config.num_epoch = 1
config.verbose = 0
