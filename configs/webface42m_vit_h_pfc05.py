"""WebFace42M, ViT-H, as arcface_torch trains it (wf42m_pfc02_vit_h.py): 16 epochs, half of the class centers a step."""

from configs.datasets.webface42m import config
from configs.recipes.vit import recipe

config.update(recipe)
config.network = "vit_h(drop_path=0.1)"
config.sample_rate = 0.5
config.batch_size = 768
config.num_epoch = 16
config.warmup_epoch = 2
