"""WebFace42M, FaceViT base, as PLSC trains it on 8 ranks (a batch of 2048)."""

from configs.datasets.webface42m import config
from configs.recipes.vit import recipe

config.update(recipe)
config.network = "vit_b_dp005_mask_005"
config.batch_size = 256
config.lr_power = 2.0
