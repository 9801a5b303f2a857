"""WebFace42M, made from a recordio as InsightFace writes it by

    python tools/mx_recordio_2_ofrecord.py --data_dir WebFace42M --output_filepath datasets/webface42m/ofrecord

which copies the verification sets (*.bin) along.
"""

from easydict import EasyDict as edict

config = edict()
config.ofrecord_path = "datasets/webface42m/ofrecord"
config.num_classes = 2059906
config.num_image = 42474557
config.val_targets = ("lfw", "cfp_fp", "agedb_30")
