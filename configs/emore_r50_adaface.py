"""MS1MV2, ResNet-50, AdaFace; see configs/recipes/adaface.py.

Its authors report LFW 99.82, CFP-FP 97.86, AgeDB-30 97.85 %; TAR at FAR 1e-4 on IJB-B 94.82, on IJB-C 96.27 %.
"""

from configs.datasets.emore import config
from configs.recipes.adaface import recipe

config.update(recipe)
config.network = "r50"
