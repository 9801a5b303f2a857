"""How https://github.com/IrvingMeng/MagFace trains, whatever the data, the network and the form of the margin. The
learning rate is meant for 8 ranks (a batch of 512).
"""

recipe = {
    "loss": "magface",
    "batch_size": 64,
    "num_epoch": 25,
    "lr_schedule": "multistep",
    "decay_epoch": (10, 18, 22),
    "clip_grad_norm": 0,
}
