"""Pictures of what a run trains on."""

from types import SimpleNamespace

import numpy as np
import pytest

from data.batch import Batch
from engine.samples import TrainingSamples, sample_images


def batch(channels=3, mirrored=True):
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 4, channels), np.uint8)
    turned = np.arange(20) % 3 == 0 if mirrored else None
    return Batch(images, np.zeros(20, np.int64), np.arange(20), turned)


def test_images_are_turned_as_the_device_turns_them():
    own = batch()
    images = sample_images(own)
    assert images.shape == (16, 6, 4, 3)
    for number, image in enumerate(images):
        np.testing.assert_array_equal(
            image, own.images[number][:, ::-1] if own.mirrored[number] else own.images[number]
        )
    images[:] = 0
    assert own.images.any()  # a step may still read them


@pytest.mark.parametrize("mirrored", [True, False])
def test_gray_images_are_shown_in_three_channels(mirrored):
    own = batch(1, mirrored)
    images = sample_images(own)
    assert images.shape == (16, 6, 4, 3) and (images == images[..., :1]).all()


def test_the_first_batch_of_each_phase_is_taken():
    taken = []
    records = SimpleNamespace(pictures=lambda name, step, images: taken.append((name, step)))
    hook = TrainingSamples(records)
    for step, phase in ((6, 0), (7, 0), (8, 1), (9, 1)):
        trainer = SimpleNamespace(step=step, phase=SimpleNamespace(number=phase), batch=batch())
        if step == 8:
            hook.on_phase(trainer)
        hook.after_step(trainer)
    assert taken == [("phase-1", 6), ("phase-2", 8)]
