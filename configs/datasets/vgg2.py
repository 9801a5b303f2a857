"""VGGFace2 (faces_vgg_112x112), made from InsightFace's recordio by

    python tools/mx_recordio_2_ofrecord.py --data_dir faces_vgg_112x112 --output_filepath datasets/vgg2/ofrecord

which copies the verification sets (*.bin) along. The numbers are those that InsightFace publishes.
"""

from easydict import EasyDict as edict

config = edict()
config.ofrecord_path = "datasets/vgg2/ofrecord"
config.num_classes = 8631
config.num_image = 3137807
config.val_targets = ("lfw", "cfp_fp", "agedb_30")
