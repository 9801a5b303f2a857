"""MS1MV2 (faces_emore), made from InsightFace's recordio by

    python tools/mx_recordio_2_ofrecord.py --data_dir faces_emore --output_filepath datasets/emore/ofrecord

which copies the verification sets (*.bin) along.
"""

from easydict import EasyDict as edict

config = edict()
config.ofrecord_path = "datasets/emore/ofrecord"
config.num_classes = 85742
config.num_image = 5822653
config.val_targets = ("lfw", "cfp_fp", "agedb_30")
