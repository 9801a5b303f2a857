"""CASIA-WebFace, ResNet-18, MagFace; see configs/recipes/magface.py.

Its authors publish this model and its log without a table of figures.
"""

from configs.datasets.casia import config
from configs.recipes.magface import recipe

config.update(recipe)
config.network = "r18"
