"""Augmentation: each operation by its definition, samples that depend on (seed, epoch, record) alone, resumed runs."""

import io
import math
import re
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import correlate1d

from data.augment import OPERATIONS, Augmenter, augmentation_sheet, choices, operations
from data.loader import RecordLoader, mirrored_places
from data.samplers.shuffle import shuffled_records
from tests.data.mxnet_sets import jpegs, picture
from tests.data.ofrecord_sets import make_set
from tests.ranks import run_ranks
from utils.config.schema import AUGMENTATIONS
from utils.tensor_file import read_tensors

RECORDS = 60
ALL = dict.fromkeys(OPERATIONS, 0.5)
LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def images():
    return jpegs(RECORDS)


@pytest.fixture(scope="module")
def dataset(images, tmp_path_factory):
    """60 images, each an identity of its own, so that a label names its record."""
    return make_set(tmp_path_factory.mktemp("augment") / "of", images, range(RECORDS), RECORDS, 4)


@pytest.fixture
def face():
    """A picture with detail in it, (112, 112, 3) uint8 RGB."""
    noise = np.random.default_rng(0).normal(0, 20, (112, 112, 3))
    return np.clip(picture(3) + noise, 0, 255).astype(np.uint8)


def rounded(values):
    return np.clip(np.rint(values), 0, 255)


def assert_near(result, expected, most=1):
    assert result.dtype == np.uint8 and result.shape == expected.shape
    assert np.abs(result.astype(float) - expected).max() <= most


# --- the operations ---


def test_every_operation_has_a_name_in_the_config():
    assert tuple(OPERATIONS) == AUGMENTATIONS


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_changes_a_copy_and_takes_all_numbers(name, face):
    before = face.copy()
    for u in (0.0, 0.5, 1 - 2.0**-53):
        result = OPERATIONS[name](face, np.full(choices.CHOICES, u))
        assert result.shape == (112, 112, 3) and result.dtype == np.uint8
        np.testing.assert_array_equal(face, before)
        assert not np.shares_memory(result, face)


def bilinear(part, size):
    """Enlarged with pixels' centers at halves, from the definition."""
    ratio = np.array(part.shape[:2]) / size
    places = [np.clip((np.arange(size) + 0.5) * ratio[axis] - 0.5, 0, part.shape[axis] - 1) for axis in (0, 1)]
    low = [np.floor(place).astype(int) for place in places]
    high = [np.minimum(low[axis] + 1, part.shape[axis] - 1) for axis in (0, 1)]
    y, x = (places[axis] - low[axis] for axis in (0, 1))
    y, x = y[:, None, None], x[None, :, None]
    part = part.astype(float)
    top = part[low[0]][:, low[1]] * (1 - x) + part[low[0]][:, high[1]] * x
    bottom = part[high[0]][:, low[1]] * (1 - x) + part[high[0]][:, high[1]] * x
    return top * (1 - y) + bottom * y


def test_crop(face):
    box = (5, 9, 98, 100)
    cropped = operations.crop(face, box)
    np.testing.assert_array_equal(cropped, cv2.resize(face[5:103, 9:109], (112, 112)))
    assert_near(cropped, bilinear(face[5:103, 9:109], 112))
    np.testing.assert_array_equal(operations.crop(face, (0, 0, 112, 112)), face)


def test_crop_pad(face):
    cropped = operations.crop_pad(face, (5, 9, 60, 40))
    inside = np.zeros((112, 112), bool)
    inside[5:65, 9:49] = True
    np.testing.assert_array_equal(cropped[inside], face[inside])
    assert not cropped[~inside].any()


def test_cutout(face):
    covered = operations.cutout(face, (5, 9, 60, 40))
    inside = np.zeros((112, 112), bool)
    inside[5:65, 9:49] = True
    np.testing.assert_array_equal(covered[~inside], face[~inside])
    assert (covered[inside] == 128).all()


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3, 1.5])
def test_brightness_contrast_and_saturation(face, factor):
    pixels = face.astype(float)
    luma = pixels @ LUMA
    assert_near(operations.brightness(face, factor), rounded(factor * pixels))
    assert_near(operations.contrast(face, factor), rounded(factor * pixels + (1 - factor) * luma.mean()))
    assert_near(operations.saturation(face, factor), rounded(factor * pixels + (1 - factor) * luma[..., None]))
    if factor == 1:
        np.testing.assert_array_equal(operations.contrast(face, factor), face)


def test_gray(face):
    grayed = operations.gray(face)
    assert_near(grayed, np.repeat((face @ LUMA)[..., None], 3, axis=2))
    assert (grayed == grayed[..., :1]).all()


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.0])
def test_blur(face, sigma):
    reach = np.arange(-round(3 * sigma), round(3 * sigma) + 1)
    kernel = np.exp(-(reach**2) / (2 * sigma**2))
    expected = face.astype(float)
    for axis in (0, 1):
        expected = correlate1d(expected, kernel / kernel.sum(), axis, mode="mirror")
    assert_near(operations.blur(face, sigma), expected)


@pytest.mark.parametrize("side", [22, 56, 111])
def test_low_resolution(face, side):
    lowered = operations.low_resolution(face, (side, side), cv2.INTER_AREA, cv2.INTER_LINEAR)
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    assert_near(lowered, bilinear(small, 112))
    nearest = operations.low_resolution(face, (side, side), cv2.INTER_NEAREST, cv2.INTER_NEAREST)
    place = np.arange(112) * side // 112 * 112 // side
    np.testing.assert_array_equal(nearest, face[place][:, place])


@pytest.mark.parametrize("quality", [20, 60, 90])
def test_jpeg(face, quality):
    stored = io.BytesIO()
    Image.fromarray(face).save(stored, "JPEG", quality=quality, subsampling="4:2:0")
    np.testing.assert_array_equal(operations.jpeg(face, quality), np.asarray(Image.open(stored).convert("RGB")))


# --- how strong ---


def chosen(monkeypatch, name, count=2000, size=(112, 112)):
    """What an operation is called with for many samples, a list of its arguments after the image."""
    calls = []
    monkeypatch.setattr(operations, name, lambda image, *arguments: calls.append(arguments) or image)
    rng = np.random.default_rng(1)
    for u in rng.random((count, choices.CHOICES)):
        OPERATIONS[name](np.zeros((*size, 3), np.uint8), u)
    return calls


def test_boxes_are_inside_and_reach_every_edge(monkeypatch):
    for name in ("crop", "crop_pad", "cutout"):
        boxes = np.array([box for (box,) in chosen(monkeypatch, name)])
        top, left, height, width = boxes.T
        assert (boxes >= 0).all() and (height > 0).all() and (width > 0).all()
        for first, length in ((top, height), (left, width)):
            assert (first + length <= 112).all() and first.min() == 0 and (first + length).max() == 112
        if name == "crop":
            assert (height == width).all() and set(height) == set(range(98, 113))
        if name == "crop_pad":
            whole = (height < 112) & (width < 112)
            assert (np.abs(np.log(width / height)) < math.log(4 / 3) + 0.03)[whole].all()
            assert 0.19 < (height * width / 112**2).min() < 0.25 and (height * width / 112**2).max() > 0.9
            assert (height * width / 112**2)[whole].mean() == pytest.approx(0.55, abs=0.05)
        if name == "cutout":
            assert max(height.max(), width.max()) == 56 and (height >= 14).all() and (width >= 14).all()


@pytest.mark.parametrize("size", [(96, 112), (224, 160)])
def test_boxes_follow_the_size_of_the_image(monkeypatch, size):
    for name in ("crop", "crop_pad", "cutout"):
        boxes = np.array([box for (box,) in chosen(monkeypatch, name, size=size)])
        top, left, height, width = boxes.T
        assert (boxes >= 0).all() and (height > 0).all() and (width > 0).all()
        for first, length, whole in ((top, height, size[0]), (left, width, size[1])):
            assert first.min() == 0 and (first + length).max() == whole
        if name == "crop":
            assert (np.abs(width / height - size[1] / size[0]) < 0.01).all()
            assert (height.min(), height.max()) == (size[0] * 7 // 8, size[0])
        if name == "crop_pad":
            share = height * width / (size[0] * size[1])
            assert 0.19 < share.min() < 0.25 and share.max() > 0.9
        if name == "cutout":
            assert max(height.max(), width.max()) == min(size) // 2


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_keeps_the_size_of_the_image(name):
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    for u in (0.0, 0.5, 1 - 2.0**-53):
        assert OPERATIONS[name](image, np.full(choices.CHOICES, u)).shape == (96, 128, 3)


def test_ranges(monkeypatch):
    sigmas = np.array(chosen(monkeypatch, "blur"))
    assert 0.1 <= sigmas.min() < 0.15 and 1.95 < sigmas.max() <= 2
    assert {quality for (quality,) in chosen(monkeypatch, "jpeg")} == set(range(20, 91))
    sides, down, up = zip(*chosen(monkeypatch, "low_resolution"), strict=True)
    assert set(sides) == {(side, side) for side in range(22, 112)} and set(down) == set(up) and len(set(up)) == 5


def test_colors_change_in_any_order(monkeypatch):
    def recorded(kind):
        return lambda image, factor: orders[-1].append((kind, factor)) or image

    orders = []
    monkeypatch.setattr(choices, "_JITTER", tuple(map(recorded, range(3))))
    for u in np.random.default_rng(2).random((600, choices.CHOICES)):
        orders.append([])
        choices.color(np.zeros((112, 112, 3), np.uint8), u)
    assert len({tuple(kind for kind, _ in order) for order in orders}) == 6
    factors = np.array([[factor for _, factor in sorted(order)] for order in orders])
    assert (factors >= 0.5).all() and (factors < 1.5).all()
    assert np.abs(factors.mean(0) - 1).max() < 0.05 and np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.15


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
