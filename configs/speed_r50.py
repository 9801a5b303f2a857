"""Random images for r50, to measure the speed and memory of a whole step: python -m tools.benchmark speed_r50"""

from easydict import EasyDict as edict

config = edict()
config.network = "r50"
config.synthetic = True
config.num_classes = 100_000
config.num_image = 1_000_000
config.batch_size = 64
config.num_epoch = 1
config.verbose = 0
