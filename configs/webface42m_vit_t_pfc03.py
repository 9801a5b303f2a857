"""WebFace42M, ViT-T, as arcface_torch trains it on 8 ranks (a batch of 4096)."""

from configs.datasets.webface42m import config
from configs.recipes.vit import recipe

config.update(recipe)
config.network = "vit_t_dp005_mask0"
config.batch_size = 512
