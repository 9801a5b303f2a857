"""Loader: every record once per epoch, orders, ranks, positions, pixels; sets written by mxnet and our converter."""

import io
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data.batch import Batch
from data.loader import RecordLoader, SyntheticLoader, mirrored_places
from data.ofrecord import index_path, part_name
from data.samplers import make_sampler
from data.samplers.shuffle import shuffled_records
from tests.data.mxnet_sets import jpegs
from tests.data.ofrecord_sets import make_set
from utils.errors import UserError
from utils.pixels import ImageShape, fitted

RECORDS, PARTS = 65, 6


@pytest.fixture(scope="module")
def images():
    return jpegs(RECORDS)


@pytest.fixture(scope="module")
def dataset(images, tmp_path_factory):
    """65 images, each an identity of its own, so that a label names its record."""
    return make_set(tmp_path_factory.mktemp("loader") / "of", images, range(RECORDS), RECORDS, PARTS)


def labels_of(dataset, epoch, ranks, batch, start=0, **settings):
    """(ranks, steps, batch) labels of an epoch."""
    loaders = [RecordLoader(dataset, batch, rank, ranks, **settings) for rank in range(ranks)]
    return np.array([[batch.labels for batch in loader.epoch(epoch, start)] for loader in loaders])


@pytest.mark.parametrize(("ranks", "batch"), [(1, 5), (2, 4), (3, 7), (1, 13), (5, 13)])
def test_each_record_once_per_epoch_in_new_orders(dataset, ranks, batch):
    first, second = (labels_of(dataset, epoch, ranks, batch) for epoch in (0, 1))
    for labels in (first, second):
        assert len(np.unique(labels)) == labels.size  # none twice
        assert RECORDS - labels.size < ranks * batch  # fewer than a global batch left out
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, labels_of(dataset, 0, ranks, batch))
    assert not np.array_equal(first, labels_of(dataset, 0, ranks, batch, seed=1))


def test_nothing_is_left_out_where_the_batch_divides(dataset):
    for ranks in (1, 5):
        assert set(labels_of(dataset, 3, ranks, 13 // 1 if ranks == 5 else 65).ravel()) == set(range(RECORDS))


def test_global_batches_do_not_depend_on_the_ranks(dataset):
    alone = labels_of(dataset, 2, 1, 12)[0]
    for ranks in (2, 3):
        shared = labels_of(dataset, 2, ranks, 12 // ranks)
        np.testing.assert_array_equal(np.concatenate(list(shared), axis=1), alone)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_going_on_in_mid_epoch_gives_the_same_stream(dataset, ranks):
    for rank in range(ranks):
        loader = RecordLoader(dataset, 4, rank, ranks)
        whole, rest = list(loader.epoch(1)), list(RecordLoader(dataset, 4, rank, ranks).epoch(1, start=2))
        assert len(rest) == loader.steps_per_epoch - 2
        for before, again in zip(whole[2:], rest, strict=True):
            assert_same_batch(before, again)


def assert_same_batch(batch, again):
    for name in ("images", "labels", "records", "mirrored"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(again, name))


def test_pixels_are_the_jpegs_and_half_are_mirrored(dataset, images):
    mirrored = []
    for epoch in range(4):
        for batch in RecordLoader(dataset, 13).epoch(epoch):
            assert batch.images.dtype == np.uint8 and batch.images.shape == (13, 112, 112, 3)
            for row, label in zip(batch.images, batch.labels, strict=True):
                np.testing.assert_array_equal(row, Image.open(io.BytesIO(images[label])).convert("RGB"))
            mirrored += batch.mirrored.tolist()
    assert 0.35 < np.mean(mirrored) < 0.65 and len(mirrored) == 4 * RECORDS


def test_no_flip(dataset):
    assert not next(RecordLoader(dataset, 60, random_flip=False).epoch(0)).mirrored.any()


def test_batches_that_were_given_out_are_not_written_again(dataset):
    """A step may still read them, since it takes them without a copy."""
    given = []
    for images, labels, *_ in RecordLoader(dataset, 4, prefetch=1).batches(0, 20):
        given.append((images, labels, images.copy(), labels.copy()))
    for images, labels, images_then, labels_then in given:
        np.testing.assert_array_equal(images, images_then)
        np.testing.assert_array_equal(labels, labels_then)
    assert not any(np.shares_memory(given[0][0], images) for images, *_ in given[1:])


def test_records_are_the_numbers_of_the_dataset(dataset):
    loaders = [RecordLoader(dataset, 8, rank, 2, seed=3) for rank in (0, 1)]
    order = shuffled_records(RECORDS, 3, 1)
    seen = [[batch.records for batch in loader.epoch(1)] for loader in loaders]
    np.testing.assert_array_equal(np.concatenate(seen, axis=1).ravel(), order[:64])
    for _, labels, records, *_ in loaders[0].epoch(1):
        assert records.dtype == np.int64
        np.testing.assert_array_equal([label_of(dataset, record) for record in records], labels)


def test_mirroring_is_drawn_for_each_place_of_the_global_batches_anew_in_each_epoch(dataset):
    for epoch in (0, 1, 2):
        loaders = [RecordLoader(dataset, 8, rank, 2, seed=3) for rank in (0, 1)]
        seen = [[batch.mirrored for batch in loader.epoch(epoch)] for loader in loaders]
        np.testing.assert_array_equal(np.concatenate(seen, axis=1).ravel(), mirrored_places(RECORDS, 3, epoch)[:64])


def label_of(dataset: Path, record: int) -> int:
    """The label of a record, by the indices of all parts, one after the other."""
    parts = sorted(path for path in dataset.glob("part-*") if path.suffix == "")
    return np.concatenate([np.load(index_path(part))["label"] for part in parts])[record]


def test_an_abandoned_epoch_leaves_no_threads(dataset):
    import threading

    before = threading.active_count()
    stream = RecordLoader(dataset, 2).epoch(0)
    next(stream)
    stream.close()
    assert threading.active_count() == before


@pytest.fixture(scope="module")
def classes(images, tmp_path_factory):
    """65 images of 14 identities: four of them have 8, one 3, the others what is left."""
    labels = [*range(4)] * 8 + [4] * 3 + [5 + i % 9 for i in range(30)]
    return make_set(tmp_path_factory.mktemp("classes") / "of", images, labels, 14, PARTS)


@pytest.mark.parametrize("name", ["shuffle", "balanced", "class_balanced"])
def test_samplers_keep_what_the_loader_promises(classes, name):
    settings = {"seed": 3, "sampler": make_sampler(name)}
    alone = list(RecordLoader(classes, 24, **settings).batches(0, 6))
    for ranks in (2, 3):
        loaders = [RecordLoader(classes, 24 // ranks, rank, ranks, **settings) for rank in range(ranks)]
        shared = [list(loader.batches(2, 6)) for loader in loaders]  # taken up in the second epoch
        for step, whole in enumerate(alone[2:]):
            parts = zip(*[share[step][:4] for share in shared], strict=True)
            assert_same_batch(whole, Batch(*map(np.concatenate, parts)))
    pairs = [pair for batch in alone for pair in zip(batch.labels, batch.records, strict=True)]
    assert all(label_of(classes, record) == label for label, record in pairs)


def test_balanced_batches(classes):
    loader = RecordLoader(classes, 24, sampler=make_sampler("balanced", images=4))
    assert loader.steps_per_epoch == RECORDS // 24
    for _, labels, records, *_ in loader.batches(0, 20):
        groups = labels.reshape(-1, 4)
        assert (groups == groups[:, :1]).all() and len(np.unique(groups[:, 0])) == 6 and 4 not in labels
        assert len(np.unique(records)) == 24
    assert loader.note == (
        "Each global batch: 4 images each of 6 classes; of 14 classes 7 have 4 images or more and take part, "
        "with 44 of 65 images"
    )


@pytest.mark.parametrize(
    ("group", "batch", "acc", "words"),
    [
        (4, 26, 1, "a global batch of 26 is not divided by images = 4"),
        (3, 18, 2, None),
        (4, 24, 4, "a rank's micro-batch of 6 is not divided by images = 4"),
        (8, 40, 1, "takes 5 classes of at least 8 images, and the dataset has 4; lower batch_size"),
        (8, 32, 1, None),
    ],
)
def test_batches_that_do_not_divide(classes, group, batch, acc, words):
    def load():
        return RecordLoader(classes, batch, sampler=make_sampler("balanced", images=group), gradient_acc=acc)

    if words is None:
        assert len(list(load().batches(0, 3))) == 3
    else:
        with pytest.raises(UserError, match=f"sampler balanced is not possible: .*{words}"):
            load()


def test_weights_of_a_file(classes, tmp_path):
    weights = np.arange(RECORDS) % 3
    np.save(tmp_path / "weights.npy", weights)
    sampler = make_sampler("weighted", path=str(tmp_path / "weights.npy"))
    seen = np.concatenate([batch.records for batch in RecordLoader(classes, 13, sampler=sampler).batches(0, 50)])
    counts = np.bincount(seen, minlength=RECORDS)
    assert counts[weights == 0].sum() == 0
    expected = 650 * weights / weights.sum()
    assert np.abs(counts - expected).max() <= 9  # each epoch's rounding
    for bad, words in (
        (weights[1:], r"int64 \(64,\), and not a number for each of 65 records"),
        (weights - 1.0, "from -1.0 to 1.0, and not 0 or more"),
        (weights * np.nan, "from nan to nan"),
        (weights * 0, "from 0 to 0"),
    ):
        np.save(tmp_path / "bad.npy", bad)
        with pytest.raises(UserError, match=words):
            RecordLoader(classes, 13, sampler=make_sampler("weighted", path=str(tmp_path / "bad.npy")))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ranks": 7, "batch_size": 1}, "--num_part"),
        ({"batch_size": 66}, "fewer than one global batch of 66"),
        ({"batch_size": 4, "num_classes": 64}, "num_classes"),
        ({"batch_size": 4, "num_image": 66}, "num_image"),
    ],
)
def test_refused_before_the_first_step(dataset, settings, words):
    with pytest.raises(UserError, match=words):
        RecordLoader(dataset, **settings)


def damaged(dataset: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    import shutil

    return Path(shutil.copytree(dataset, tmp_path / "of"))


def test_missing_truncated_and_empty_parts(dataset, tmp_path):
    folder = damaged(dataset, tmp_path)
    part = folder / part_name(2)
    whole = part.read_bytes()
    for content in (whole[:-100], b"", None):
        part.write_bytes(content) if content is not None else part.unlink()
        with pytest.raises(UserError, match=r"part-00002"):
            RecordLoader(folder, 4)


@pytest.mark.parametrize("size", [(96, 112), (160, 128)])
def test_batches_have_the_size_of_the_set_or_of_the_network(tmp_path, size):
    images = jpegs(6, size)
    folder = make_set(tmp_path / "of", images, range(6), 6, 1, size=size)
    stored = next(RecordLoader(folder, 6).epoch(0))
    pixels = [cv2.imdecode(np.frombuffer(images[k], np.uint8), cv2.IMREAD_COLOR_RGB) for k in stored.labels]
    np.testing.assert_array_equal(stored.images, pixels)
    for shape in (ImageShape(112, 96, 1), ImageShape(224, 224)):
        batch = next(RecordLoader(folder, 6, image_shape=shape).epoch(0))
        np.testing.assert_array_equal(batch.images, [fitted(image, shape) for image in pixels])
    changed = next(RecordLoader(folder, 6, augment={"crop": 1.0, "cutout": 1.0}).epoch(0))
    assert changed.images.shape == stored.images.shape
    assert all((one != other).any() for one, other in zip(changed.images, stored.images, strict=True))


def test_a_set_whose_manifest_says_another_size_is_named(tmp_path):
    folder = make_set(tmp_path / "of", jpegs(3), range(3), 3, 1)
    text = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(re.sub(r'"image_size": \[\s*112', '"image_size": [128', text))
    with pytest.raises(UserError, match=r"part-00000 is damaged: its record 0 holds no image of 128x112 pixels"):
        list(RecordLoader(folder, 3).epoch(0))


@pytest.mark.parametrize("size", [None, (96, 112), (112, 96)])
def test_an_image_that_rots_after_conversion_is_named_and_one_that_has_another_size(dataset, tmp_path, size):
    folder = damaged(dataset, tmp_path)
    part = folder / part_name(1)
    offset, length = (int(np.load(index_path(part))[3][name]) for name in ("offset", "length"))
    image = jpegs(1, size)[0][:length] if size else bytes(64)
    content = bytearray(part.read_bytes())
    content[offset : offset + length] = image.ljust(length, b"\0")
    part.write_bytes(content)
    with pytest.raises(UserError, match=r"record 3 of .*part-00001"):
        list(RecordLoader(folder, 5, verify_data="off").epoch(0))


def test_synthetic_loader_has_the_same_face():
    loader = SyntheticLoader(100, 50, 8, rank=1, ranks=2, seed=5)
    assert loader.steps_per_epoch == 3
    epoch = list(loader.batches(0, 3))
    for images, labels, records, *_ in epoch:
        assert records.shape == labels.shape
        assert images.shape == (8, 112, 112, 3) and images.dtype == np.uint8 and images.max() > 250
        assert labels.dtype == np.int64 and ((labels >= 0) & (labels < 100)).all()
    for batch, again in zip(epoch[1:], loader.batches(1, 3), strict=True):
        np.testing.assert_array_equal(batch.labels, again.labels)
        np.testing.assert_array_equal(batch.records, again.records)
    other = SyntheticLoader(100, 50, 8, rank=0, ranks=2, seed=5).batches(3, 6)
    numbers = [batch.records for batches in (epoch, other) for batch in batches]
    np.testing.assert_array_equal(np.sort(np.concatenate(numbers)), np.arange(48))  # each once in an epoch
    drawn = [images.copy() for images, *_ in epoch]
    for (images, *_), before, _ in zip(epoch, drawn, loader.batches(3, 6), strict=True):
        np.testing.assert_array_equal(images, before)  # which a step may still be reading
    with pytest.raises(UserError, match="fewer than one global batch"):
        SyntheticLoader(100, 15, 8, ranks=2)


def test_mirroring_is_drawn_anew_in_each_epoch_and_for_each_seed():
    first = mirrored_places(1000, 3, 0)
    np.testing.assert_array_equal(mirrored_places(1000, 3, 0), first)
    assert 400 < first.sum() < 600
    for other in (mirrored_places(1000, 3, 1), mirrored_places(1000, 4, 0)):
        assert 400 < (other != first).sum() < 600
