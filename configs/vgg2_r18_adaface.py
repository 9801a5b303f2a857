"""VGGFace2, ResNet-18, AdaFace; see configs/recipes/adaface.py.

Its authors report LFW 99.47, CFP-FP 97.13, AgeDB-30 94.07 %; TAR at FAR 1e-4 on IJB-B 90.67, on IJB-C 92.95 %.
"""

from configs.datasets.vgg2 import config
from configs.recipes.adaface import recipe

config.update(recipe)
config.network = "r18"
