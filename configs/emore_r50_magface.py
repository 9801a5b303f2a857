"""MS1MV2, ResNet-50, MagFace; see configs/recipes/magface.py.

Its authors publish this model and its log without a table of figures.
"""

from configs.datasets.emore import config
from configs.recipes.magface import recipe

config.update(recipe)
config.network = "r50"
