"""MS1MV2, ResNet-100, AdaFace; see configs/recipes/adaface.py.

Its authors report LFW 99.82, CFP-FP 98.49, AgeDB-30 98.05 %; TAR at FAR 1e-4 on IJB-B 95.67, on IJB-C 96.89 %.
"""

from configs.datasets.emore import config
from configs.recipes.adaface import recipe

config.update(recipe)
config.network = "r100"
