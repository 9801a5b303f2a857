"""Augmented samples: they depend on (seed, epoch, record) alone, in the loader and in resumed runs."""

import re
import shutil

import cv2
import numpy as np
import pytest

from data.augment import OPERATIONS, Augmenter, augmentation_sheet, choices, operations
from data.loader import RecordLoader, mirrored_places
from data.samplers.shuffle import shuffled_records
from tests.data.mxnet_sets import jpegs
from tests.data.ofrecord_sets import make_set
from tests.ranks import run_ranks
from utils.tensor_file import read_tensors

RECORDS = 60
ALL = dict.fromkeys(OPERATIONS, 0.5)


@pytest.fixture(scope="module")
def images():
    return jpegs(RECORDS)


@pytest.fixture(scope="module")
def dataset(images, tmp_path_factory):
    """60 images, each an identity of its own, so that a label names its record."""
    return make_set(tmp_path_factory.mktemp("augment") / "of", images, range(RECORDS), RECORDS, 4)


# --- the numbers ---


def test_numbers_depend_on_seed_epoch_and_record_alone():
    records = np.array([7, 0, 41_999_999, 3], np.uint32)
    augmenter = Augmenter(ALL, 5)
    numbers = augmenter.numbers(2, records)
    assert numbers.shape == (4, len(OPERATIONS), 1 + choices.CHOICES)
    np.testing.assert_array_equal(numbers[[2]], Augmenter({"blur": 1.0}, 5).numbers(2, records[[2]]))
    for other in (
        augmenter.numbers(1, records),
        Augmenter(ALL, 6).numbers(2, records),
        augmenter.numbers(2, records + 1),
    ):
        assert not (numbers == other).any()


def test_numbers_are_uniform_and_apart():
    numbers = Augmenter(ALL, 0).numbers(0, np.arange(20_000)).reshape(20_000, -1)
    assert numbers.min() >= 0 and numbers.max() < 1 and np.abs(numbers.mean(0) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(numbers.T) - np.eye(numbers.shape[1])).max() < 0.04
    shares = np.array([np.histogram(column, 10, (0, 1))[0] for column in numbers.T]) / 20_000
    assert np.abs(shares - 0.1).max() < 0.012


def test_each_operation_is_applied_as_often_as_asked():
    image = np.zeros((112, 112, 3), np.uint8)
    augmenter = Augmenter({"cutout": 0.2, "jpeg": 0.0}, 3)
    numbers = augmenter.numbers(0, np.arange(3000))
    changed = np.mean([augmenter(image, sample).any() for sample in numbers])
    assert changed == pytest.approx(0.2, abs=0.03)


def test_operations_come_in_their_order(face):
    numbers = Augmenter(ALL, 0).numbers(0, np.arange(1))[0]
    expected = face
    for place, operation in enumerate(OPERATIONS.values()):
        expected = operation(expected, numbers[place, 1:])
    backwards = Augmenter(dict.fromkeys(reversed(OPERATIONS), 1.0), 0)
    np.testing.assert_array_equal(backwards(face, numbers), expected)


def test_unknown_operations_are_refused():
    with pytest.raises(ValueError, match="no such operation: colors"):
        Augmenter({"colors": 0.5}, 0)


# --- in the loader ---


def samples(dataset, epoch, ranks=1, batch=12, start=0, **settings):
    """{label: pixels} of an epoch from all ranks."""
    pixels_of = {}
    for rank in range(ranks):
        for pixels, labels, *_ in RecordLoader(dataset, batch, rank, ranks, **settings).epoch(epoch, start):
            pixels_of.update(zip(labels.tolist(), pixels, strict=True))
    return pixels_of


def assert_same(drawn, expected):
    assert drawn.keys() == expected.keys()
    for label, pixels in expected.items():
        np.testing.assert_array_equal(drawn[label], pixels)


@pytest.mark.parametrize("augment", [None, {}, {"blur": 0.0}])
def test_off_gives_the_pixels_that_plain_opencv_gives(dataset, images, augment):
    flips = iter(mirrored_places(RECORDS, 4, 1))
    for batch in RecordLoader(dataset, 12, seed=4, augment=augment).epoch(1):
        for row, label, flip in zip(batch.images, batch.labels, batch.mirrored, strict=True):
            rgb = cv2.imdecode(np.frombuffer(images[label], np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
            np.testing.assert_array_equal(row, rgb)
            assert flip == next(flips)


def test_a_loaded_sample_is_the_augmented_image(dataset, images):
    order = shuffled_records(RECORDS, 4, 1)
    augmenter = Augmenter(ALL, 4)
    loader = RecordLoader(dataset, 12, seed=4, augment=ALL, random_flip=False)
    changed = 0
    for step, (pixels, labels, *_) in enumerate(loader.epoch(1)):
        numbers = augmenter.numbers(1, order[step * 12 : step * 12 + 12])
        for row, label, sample in zip(pixels, labels, numbers, strict=True):
            rgb = cv2.imdecode(np.frombuffer(images[label], np.uint8), cv2.IMREAD_COLOR_RGB)
            np.testing.assert_array_equal(row, augmenter(rgb, sample))
            changed += not np.array_equal(augmenter(rgb, sample), rgb)
    assert changed > RECORDS * 0.9


def test_samples_depend_on_neither_ranks_nor_threads_nor_batch(dataset):
    expected = samples(dataset, 1, augment=ALL)
    for ranks, batch, workers in ((1, 12, 4), (2, 6, 1), (4, 3, 2), (1, 5, 3)):
        assert_same(samples(dataset, 1, ranks, batch, augment=ALL, num_workers=workers), expected)
    other = samples(dataset, 2, augment=ALL)
    assert sum(np.array_equal(pixels, expected[label]) for label, pixels in other.items()) < 3


def test_going_on_in_mid_epoch_gives_the_same_batches(dataset):
    whole = list(RecordLoader(dataset, 7, augment=ALL).batches(0, 14))
    rest = list(RecordLoader(dataset, 7, augment=ALL).batches(3, 14))
    for (pixels, labels, *_), (again, same, *_) in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(labels, same)
        np.testing.assert_array_equal(pixels, again)


def test_a_sheet_has_a_row_for_each_operation_and_epoch(face):
    probabilities = {"blur": 0.5, "crop": 0.0, "gray": 1.0}
    sheet = augmentation_sheet(np.stack([face, face[::-1]]), np.arange(2), probabilities, seed=0, epochs=2)
    assert sheet.dtype == np.uint8 and sheet.shape == (5 * 116, 124 + 2 * 116, 3)
    tiles = sheet.reshape(5, 116, -1, 3)[:, 2:-2, 126:238]
    np.testing.assert_array_equal(tiles[0], face)
    np.testing.assert_array_equal(tiles[1], operations.gray(face))
    assert (tiles[3] == tiles[3][..., :1]).all()


# --- in a run ---


def test_a_resumed_run_with_augmentation_is_the_same_to_the_last_bit(dataset, tmp_path):
    config = tmp_path / "small.py"
    config.write_text(
        "from easydict import EasyDict as edict\n"
        "config = edict()\n"
        "config.network, config.embedding_size, config.device = 'mbf_tiny', 16, 'cpu'\n"
        f"config.ofrecord_path = {str(dataset)!r}\n"
        f"config.augment = {ALL!r}\n"
        "config.batch_size, config.num_epoch, config.lr = 20, 2, 0.02\n"
        "config.save_interval, config.keep_checkpoints, config.frequent = 2, 9, 1\n"
    )
    straight, resumed = (tmp_path / name for name in ("straight", "resumed"))
    run_ranks(1, "train.py", str(config), "--eager", f"output={straight}")
    name = "step-00000002"  # in the middle of the first epoch's three steps
    shutil.copytree(straight / "checkpoints" / name, resumed / "checkpoints" / name)
    run_ranks(1, "train.py", str(config), "--eager", f"output={resumed}", "resume=True")
    last, again = (output / "checkpoints" / "step-00000006" for output in (straight, resumed))
    for file in last.glob("*.safetensors"):
        resumed_tensors = read_tensors(again / file.name)
        for key, array in read_tensors(file).items():
            np.testing.assert_array_equal(resumed_tensors[key], array, err_msg=f"{file.name} {key}")
    assert losses(straight) == {**losses(straight), **losses(resumed)} and sorted(losses(resumed)) == [3, 4, 5, 6]
    plain = tmp_path / "plain"
    run_ranks(1, "train.py", str(config), "--eager", f"output={plain}", "augment={}", "num_epoch=1")
    assert losses(plain)[1] != losses(straight)[1]


def losses(output):
    """{step: loss}"""
    log = (output / "training.log").read_text()
    return {int(step): loss for loss, step in re.findall(r"Loss ([\d.]+) .*Global Step: (\d+)/", log)}
