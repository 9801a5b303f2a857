"""Glint360K, made from InsightFace's recordio by

    python tools/mx_recordio_2_ofrecord.py --data_dir glint360k --output_filepath datasets/glint360k/ofrecord

which copies the verification sets (*.bin) along.
"""

from easydict import EasyDict as edict

config = edict()
config.ofrecord_path = "datasets/glint360k/ofrecord"
config.num_classes = 360232
config.num_image = 17091657
config.val_targets = ("lfw", "cfp_fp", "agedb_30")
