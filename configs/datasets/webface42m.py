"""WebFace42M, made from a recordio as InsightFace writes it (the .bin sets come along) by

python tools/mx_recordio_2_ofrecord.py --data_dir datasets/WebFace42M --output_filepath datasets/webface42m/ofrecord
"""

from easydict import EasyDict as edict

config = edict()
config.ofrecord_path = "datasets/webface42m/ofrecord"
config.num_classes = 2059906
config.num_image = 42474557
config.val_targets = ("lfw", "cfp_fp", "agedb_30")
