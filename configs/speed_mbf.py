"""Random images for MobileFaceNet, where the head is soon the larger part: python -m tools.benchmark speed_mbf"""

from configs.speed_r50 import config

config.network = "mbf"
