"""MS1MV2 (faces_emore), made from InsightFace's recordio (the .bin sets come along) by

python tools/mx_recordio_2_ofrecord.py --data_dir datasets/faces_emore --output_filepath datasets/emore/ofrecord
"""

from easydict import EasyDict as edict

config = edict()
config.ofrecord_path = "datasets/emore/ofrecord"
config.num_classes = 85742
config.num_image = 5822653
config.val_targets = ("lfw", "cfp_fp", "agedb_30")
