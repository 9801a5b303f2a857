"""CASIA-WebFace, MobileNet: softmax with center loss, then ArcFace, then ArcFace with triplets, in the order of
https://github.com/leondgarse/Keras_insightface; the learning rate is meant for a batch of 512, such as 8 ranks.

Its author changes the lengths of such phases from run to run and reports none of exactly these: the weights of the
center loss (0.01, 0.1, 0.5) are his, the epochs are ours.
"""

from configs.datasets.casia import config

config.network = "mobilenet(activation='prelu')"
config.embedding_size = 256
config.dropout = 0.4
config.batch_size = 64
config.clip_grad_norm = 0
config.phases = [
    {"loss": "softmax + 0.01 * center", "num_epoch": 5, "lr_schedule": "constant"},
    {"loss": "softmax + 0.1 * center", "num_epoch": 5, "lr_schedule": "constant"},
    {"loss": "softmax + 0.5 * center", "num_epoch": 5, "lr_schedule": "constant"},
    {"loss": "arcface(s=64)", "num_epoch": 25, "lr_schedule": "multistep(epochs=(10, 18))"},
    {
        "loss": "arcface(s=64) + triplet(alpha=0.35)",
        "num_epoch": 5,
        "lr": 0.005,
        "lr_schedule": "constant",
        "sampler": "balanced(images=4)",
    },
]
