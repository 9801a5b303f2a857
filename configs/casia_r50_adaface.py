"""CASIA-WebFace, ResNet-50, AdaFace; see configs/recipes/adaface.py.

Its authors report LFW 99.42, CFP-FP 96.41, AgeDB-30 94.38 %.
"""

from configs.datasets.casia import config
from configs.recipes.adaface import recipe

config.update(recipe)
config.network = "r50"
