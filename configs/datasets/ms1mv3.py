"""MS1MV3 (ms1m-retinaface-t1), made from InsightFace's recordio by

    python tools/mx_recordio_2_ofrecord.py --data_dir ms1m-retinaface-t1 --output_filepath datasets/ms1mv3/ofrecord

which copies the verification sets (*.bin) along.
"""

from easydict import EasyDict as edict

config = edict()
config.ofrecord_path = "datasets/ms1mv3/ofrecord"
config.num_classes = 93431
config.num_image = 5179510
config.val_targets = ("lfw", "cfp_fp", "agedb_30")
