"""Random images for a tiny backbone, so that the head is what is measured: python -m tools.benchmark speed_head"""

from configs.speed_r50 import config

config.network = "mbf_tiny"
