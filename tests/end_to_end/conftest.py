"""A small real dataset and a config to train on it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.bin_set import write_bin
from preparation.convert.to_ofrecord import Settings, convert
from tests.data.mxnet_sets import encode, picture, write_set

IDENTITIES, IMAGES = 12, 4


def portrait(identity: int, number: int) -> bytes:
    """One identity's picture: its own pattern under a light of the picture's own."""
    light = cv2.resize(np.random.default_rng([identity, number]).normal(0, 30, (3, 3)), (112, 112))
    pixels = np.clip(picture(identity).astype(np.float64) + light[..., None], 0, 255)
    return encode(pixels.astype(np.uint8))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """48 images of 12 identities in 4 parts, with the verification set `held_out.bin` of 40 pairs of others."""
    folder = tmp_path_factory.mktemp("end_to_end")
    labels = [i % IDENTITIES for i in range(IDENTITIES * IMAGES)]
    images = [portrait(label, number) for number, label in enumerate(labels)]
    write_set(folder / "rec", images, labels, num_classes=IDENTITIES)
    pairs, same = [], [k % 2 == 0 for k in range(40)]
    for k, flag in enumerate(same):
        pairs += [portrait(100 + k, 0), portrait(100 + k if flag else 200 + k, 1)]
    write_bin(folder / "rec" / "held_out.bin", pairs, same)
    convert(Settings(folder / "rec", folder / "of", num_part=4, workers=1))
    return folder / "of"


@pytest.fixture(scope="session")
def config(dataset) -> Path:
    """12 steps (2 epochs) of a global batch of 8 when run with batch_size=8 / ranks."""
    path = dataset.parent / "small.py"
    path.write_text(
        "from easydict import EasyDict as edict\n"
        "config = edict()\n"
        "config.network, config.embedding_size = 'mbf_tiny', 16\n"
        f"config.ofrecord_path = {str(dataset)!r}\n"
        "config.val_targets = ('held_out',)\n"
        "config.num_epoch, config.lr, config.warmup_epoch, config.frequent = 2, 0.02, 0.5, 4\n"
        "config.device, config.num_workers = 'cpu', 1\n"
    )
    return path
