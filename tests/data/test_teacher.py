"""A teacher's embeddings with the images, under any order, ranks and resumes."""

import numpy as np
import pytest

from data.loader import RecordLoader, mirrored_places
from data.samplers import make_sampler
from data.teacher import LiveTeacher, StoredTeacher
from tests.data.mxnet_sets import jpegs
from tests.data.ofrecord_sets import make_set

RECORDS, SIZE = 66, 5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    labels = [i % 6 for i in range(RECORDS)]
    return make_set(tmp_path_factory.mktemp("teacher") / "of", jpegs(RECORDS), labels, 6, parts=4)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(RECORDS, 2, SIZE)).astype(np.float32)


def mapped(folder, rows):
    np.save(folder / "rows.npy", rows)
    return np.load(folder / "rows.npy", mmap_mode="r")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("sampler", ["shuffle", "balanced", "class_balanced"])
def test_each_image_comes_with_its_own_row(dataset, rows, tmp_path, sampler, dtype):
    held = mapped(tmp_path, rows[:, :1].astype(dtype))
    settings = {"seed": 3, "sampler": make_sampler(sampler), "teacher": StoredTeacher(held), "augment": {"crop": 0.5}}
    alone = list(RecordLoader(dataset, 12, **settings).batches(0, 10))
    for _, _, records, _, teacher in alone:
        assert teacher.dtype == np.float32 and teacher.shape == (12, SIZE)
        np.testing.assert_array_equal(teacher, rows[records, 0].astype(dtype).astype(np.float32))
    for ranks in (2, 3):
        loaders = [RecordLoader(dataset, 12 // ranks, rank, ranks, **settings) for rank in range(ranks)]
        for expected, *parts in zip(alone[7:], *(loader.batches(7, 10) for loader in loaders), strict=True):
            for whole, *shares in zip(expected, *parts, strict=True):
                np.testing.assert_array_equal(np.concatenate(shares), whole)


@pytest.mark.parametrize("flip", [True, False])
def test_mirrored_images_have_the_second_view(dataset, rows, flip):
    loader = RecordLoader(dataset, 11, seed=2, random_flip=flip, teacher=StoredTeacher(rows))
    assert loader.teacher_size == SIZE
    for epoch in (0, 1):
        views = mirrored_places(RECORDS, 2, epoch).astype(int) * flip
        got = [(batch.records, batch.teacher) for batch in loader.epoch(epoch)]
        records, teacher = (np.concatenate(part) for part in zip(*got, strict=True))
        np.testing.assert_array_equal(teacher, rows[records, views])
        assert 0.3 < views.mean() < 0.7 or not flip


def test_a_live_teacher_sees_the_images_of_the_student(dataset):
    seen = LiveTeacher(lambda pixels: pixels.reshape(len(pixels), -1)[:, ::997].astype(np.float64), 38)
    augment = {"color": 1.0, "crop_pad": 0.5}
    for batch in RecordLoader(dataset, 11, seed=2, teacher=seen, augment=augment).epoch(0):
        pixels = batch.images.copy()
        pixels[batch.mirrored] = pixels[batch.mirrored][:, :, ::-1]
        np.testing.assert_array_equal(batch.teacher, pixels.reshape(len(pixels), -1)[:, ::997])
        assert batch.teacher.dtype == np.float32 and 0 < batch.mirrored.sum() < 11


def test_without_a_teacher_there_is_no_row(dataset):
    loader = RecordLoader(dataset, 11)
    assert loader.teacher_size is None and all(batch.teacher is None for batch in loader.epoch(0))
