"""WebFace42M, ViT-S, as arcface_torch trains it on 64 ranks (a batch of 24576)."""

from configs.datasets.webface42m import config
from configs.recipes.vit import recipe

config.update(recipe)
config.network = "vit_s_dp005_mask_0"
config.batch_size = 384
