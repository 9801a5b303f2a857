"""The embedding pass: sharing between ranks, mirror images, files that survive a kill -9, and sets refused at once."""

import json
import resource
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest

from evaluation import embedding_file
from evaluation.bin_set import write_bin
from evaluation.embed import embed, embed_to_file, load_bin_sets
from evaluation.embedding_file import load_embeddings, remove_embeddings
from evaluation.sources import open_source
from tests.data.mxnet_sets import jpegs
from tests.ranks import ROOT, rank_environment
from utils.errors import UserError

WEIGHTS = np.linspace(-1, 1, 112 * 112 * 3).reshape(112, 112, 3)
ABOUT = {"source": "set", "model": "a model"}


class Pixels:
    """An embedder that a mirror image and every pixel change, (n, 2)."""

    embedding_size = 2

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        self.batches.append(len(images))
        return np.stack([(images * WEIGHTS).sum(axis=(1, 2, 3)), images[:, 0, 0, 0]], axis=1).astype(np.float32)


@pytest.fixture
def images(tmp_path):
    write_bin(tmp_path / "set.bin", jpegs(22), [True, False] * 5 + [True])
    return open_source(tmp_path / "set.bin")


@pytest.fixture
def blocks_of_4(monkeypatch):
    monkeypatch.setattr(embedding_file, "BLOCK", 4)


def expected(images):
    pixels = images.decode(0, 22)
    return np.stack([Pixels()(pixels), Pixels()(pixels[:, :, ::-1])], axis=1)


@pytest.mark.parametrize(("ranks", "batch"), [(1, 4), (2, 3), (3, 50), (30, 2)])
def test_ranks_share_the_work_and_all_have_the_whole(images, ranks, batch):
    shares, counts = [], []
    for rank in range(ranks):
        embed(
            Pixels(), images, batch, True, rank, ranks,
            lambda rows, wanted: (shares.append(rows), counts.append(wanted)),
        )  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(shares), expected(images))
    assert all([len(share) for share in shares] == wanted for wanted in counts)
    np.testing.assert_array_equal(embed(Pixels(), images, batch), expected(images))


def test_without_mirror_images_the_model_works_half_as_much(images):
    embedder = Pixels()
    np.testing.assert_array_equal(embed(embedder, images, 8, flip=False), expected(images)[:, :1])
    assert embedder.batches == [8, 8, 6]


@pytest.mark.parametrize("ranks", [1, 2, 5, 9])
def test_a_file_is_whole_when_the_last_rank_is_done(images, tmp_path, blocks_of_4, ranks):
    path = tmp_path / "out" / "x.npy"
    done = [embed_to_file(Pixels(), images, path, ABOUT, 3, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert any(done) and done[-1]
    embeddings, about = load_embeddings(path)
    assert isinstance(embeddings, np.memmap)
    np.testing.assert_array_equal(embeddings, expected(images))
    assert about.pop("crc32") == zlib.crc32(path.read_bytes())
    assert about == {**ABOUT, "count": 22, "flip": True, "embedding_size": 2, "dtype": "float32"}
    assert sorted(file.name for file in path.parent.iterdir()) == ["x.json", "x.npy"]


def test_what_is_there_is_not_embedded_again(images, tmp_path, blocks_of_4):
    path = tmp_path / "x.npy"
    assert not embed_to_file(Pixels(), images, path, ABOUT, 3, rank=0, ranks=3)
    with pytest.raises(UserError, match="not finished; the command that began them goes on"):
        load_embeddings(path)
    rest = Pixels()
    assert embed_to_file(rest, images, path, ABOUT, 50)  # one rank takes up what another began, with other batches
    assert sum(rest.batches) == 2 * (22 - 2 * 4)
    np.testing.assert_array_equal(load_embeddings(path)[0], expected(images))
    nothing = Pixels()
    assert embed_to_file(nothing, images, path, ABOUT, 3) and not nothing.batches


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("about", "flip", "sentence"),
    [
        ({**ABOUT, "model": "another"}, True, "model = a model, and now it is another"),
        (ABOUT, False, "flip = True, and now it is False"),
    ],
)
def test_embeddings_of_something_else_are_not_mixed_in(images, tmp_path, finished, about, flip, sentence):
    path = tmp_path / "x.npy"
    embed_to_file(Pixels(), images, path, ABOUT, 8, ranks=1 if finished else 2)
    if not finished:
        assert (tmp_path / "x.npy.unfinished").exists()
    with pytest.raises(UserError, match=sentence):
        embed_to_file(Pixels(), images, path, about, 8, flip)
    remove_embeddings(path)
    assert embed_to_file(Pixels(), images, path, about, 8, flip)


def test_an_unfinished_file_without_room_is_named_and_not_written_to(images, tmp_path):
    path = tmp_path / "x.npy"
    embed_to_file(Pixels(), images, path, ABOUT, 8, ranks=2)
    np.save(tmp_path / "x.npy.unfinished" / "embeddings.npy", np.empty((0, 2, Pixels.embedding_size), np.float32))
    with pytest.raises(UserError, match=r"embeddings\.npy is damaged: it has room for \(0, .*; remove its folder"):
        embed_to_file(Pixels(), images, path, ABOUT, 8, ranks=2)


def test_a_file_that_is_no_embeddings_is_left_alone(images, tmp_path):
    path = tmp_path / "x.npy"
    path.write_text("mine")
    with pytest.raises(UserError, match=r"x\.json is missing"):
        embed_to_file(Pixels(), images, path, ABOUT, 8)
    with pytest.raises(UserError, match=r"ends in \.npy"):
        embed_to_file(Pixels(), images, tmp_path / "x.txt", ABOUT, 8)
    assert path.read_text() == "mine"


def test_a_disk_that_is_full_is_told_and_nothing_is_left(images, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(UserError, match=r"x\.npy cannot be written: File too large"):
            embed_to_file(Pixels(), images, tmp_path / "x.npy", ABOUT, 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [file.name for file in tmp_path.iterdir()] == ["set.bin"]
    assert embed_to_file(Pixels(), images, tmp_path / "x.npy", ABOUT, 8)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.unlink(), "not there"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "holds no array"),
        (lambda path: np.save(path, np.zeros((3, 2, 2), np.float32)), r"float32 array \(3, 2, 2\)"),
        (lambda path: path.with_suffix(".json").unlink(), r"x\.json is missing"),
        (lambda path: path.with_suffix(".json").write_text("[]"), r"x\.json is damaged"),
    ],
)
def test_damaged_files_are_told(images, tmp_path, damage, sentence):
    path = tmp_path / "x.npy"
    embed_to_file(Pixels(), images, path, ABOUT, 8)
    damage(path)
    with pytest.raises(UserError, match=sentence):
        load_embeddings(path)


def test_nan_is_told_with_the_images_name(images, tmp_path):
    class Diverged(Pixels):
        def __call__(self, batch):
            embeddings = super().__call__(batch)
            embeddings[-1, 0] = np.nan
            return embeddings

    with pytest.raises(UserError, match=r"NaN or infinity for image 4 of set\.bin"):
        embed_to_file(Diverged(), images, tmp_path / "x.npy", ABOUT, 5)


SLOW = """
import sys, time
from pathlib import Path
from evaluation import embedding_file
from evaluation.embed import embed_to_file
from evaluation.sources import open_source
from tests.evaluation.test_embed import ABOUT, Pixels

class Slow(Pixels):
    def __call__(self, images):
        time.sleep(0.05)
        return super().__call__(images)

embedding_file.BLOCK = 4
embed_to_file(Slow(), open_source(Path(sys.argv[1])), Path(sys.argv[2]), ABOUT, 3)
"""


def test_a_killed_pass_goes_on_from_its_blocks(images, tmp_path, blocks_of_4):
    path = tmp_path / "x.npy"
    run = subprocess.Popen([sys.executable, "-c", SLOW, images.path, path], cwd=ROOT, env=rank_environment())
    blocks = tmp_path / "x.npy.unfinished" / "blocks"
    while not blocks.exists() or 1 not in blocks.read_bytes():
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = blocks.read_bytes().count(1)
    assert 1 <= done < 6 and not path.exists()
    rest = Pixels()
    assert embed_to_file(rest, images, path, ABOUT, 3)
    assert sum(rest.batches) < 44 and sum(rest.batches) <= 2 * (22 - 4 * (done - 1))
    np.testing.assert_array_equal(load_embeddings(path)[0], expected(images))
    assert json.loads((tmp_path / "x.json").read_text())["count"] == 22


def test_an_image_that_does_not_decode_is_found_before_the_run(tmp_path):
    write_bin(tmp_path / "bad.bin", [*jpegs(21), b"\xff\xd8 no image"], [True] * 11)
    with pytest.raises(UserError, match=r"bad\.bin: image 21"):
        load_bin_sets(["bad"], tmp_path)
    with pytest.raises(UserError, match=r"bad\.bin: image 21"):
        embed(Pixels(), open_source(tmp_path / "bad.bin"), 4)


def test_a_set_too_small_for_the_folds_is_refused(tmp_path):
    write_bin(tmp_path / "few.bin", jpegs(18), [True] * 9)
    with pytest.raises(UserError, match="holds 9 pairs"):
        load_bin_sets(["few"], tmp_path)
