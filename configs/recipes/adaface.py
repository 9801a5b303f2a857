"""How https://github.com/mk-minchul/AdaFace trains, whatever the data and the network. The learning rate is meant for 8
ranks (a batch of 512). Statistics of norms are the global batch's, there each card's.
"""

recipe = {
    "loss": "adaface",
    "batch_size": 64,
    "weight_decay": 1e-4,
    "num_epoch": 26,
    "lr_schedule": "multistep",
    "decay_epoch": (12, 20, 24),
    "clip_grad_norm": 0,
    "augment": {"crop_pad": 0.2, "low_resolution": 0.2, "color": 0.2},
}
