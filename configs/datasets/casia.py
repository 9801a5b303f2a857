"""CASIA-WebFace (faces_webface_112x112), made from InsightFace's recordio by

    python tools/mx_recordio_2_ofrecord.py --data_dir faces_webface_112x112 --output_filepath datasets/casia/ofrecord

which copies the verification sets (*.bin) along.
"""

from easydict import EasyDict as edict

config = edict()
config.ofrecord_path = "datasets/casia/ofrecord"
config.num_classes = 10572
config.num_image = 490623
config.val_targets = ("lfw", "cfp_fp", "agedb_30")
