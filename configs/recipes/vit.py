"""How arcface_torch trains Vision Transformers on WebFace42M: AdamW for all weights, class centers included. PLSC
(https://github.com/PaddlePaddle/PLSC) does the same, but the learning rate falls by the power of 2.
"""

recipe = {
    "loss": "cosface",
    "fp16": True,
    "sample_rate": 0.3,
    "optimizer": "adamw",
    "lr": 0.001,
    "weight_decay": 0.1,
    "num_epoch": 40,
    "warmup_epoch": 4,
    "lr_power": 1.0,
    "verbose": 10000,
}
