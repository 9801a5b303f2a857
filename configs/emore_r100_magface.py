"""MS1MV2, ResNet-100, MagFace; see configs/recipes/magface.py.

The paper reports LFW 99.83, CFP-FP 98.46, AgeDB-30 98.17 %; TAR at FAR 1e-4 on IJB-B 94.51, on IJB-C 95.97 %.
"""

from configs.datasets.emore import config
from configs.recipes.magface import recipe

config.update(recipe)
config.network = "r100"
