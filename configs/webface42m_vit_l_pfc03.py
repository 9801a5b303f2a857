"""WebFace42M, ViT-L, as arcface_torch trains it on 64 ranks (a batch of 24576)."""

from configs.datasets.webface42m import config
from configs.recipes.vit import recipe

config.update(recipe)
config.network = "vit_l_dp005_mask_005"
config.batch_size = 384
