"""Galleries on disk: what is written is read, mapped and not loaded, and damaged files are said to be."""

import json
import os

import numpy as np
import pytest

from recognition.gallery import Gallery
from utils.errors import UserError

NAMES = ["王小明", "Ελένη", "王小明", "a", "Ελένη", "王小明"]


def unit(rng, count, size=16):
    rows = rng.standard_normal((count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def gallery():
    rows = unit(np.random.default_rng(0), len(NAMES))
    return Gallery.build(rows, NAMES, [f"图 {n}.jpg" for n in range(len(NAMES))], {"model": "π", "digest": "0"})


def test_images_of_a_person_are_together(gallery):
    rows = unit(np.random.default_rng(0), len(NAMES))
    assert list(gallery.names) == ["王小明", "Ελένη", "a"]
    assert gallery.starts.tolist() == [0, 3, 5, 6]
    order = [0, 2, 5, 1, 4, 3]
    np.testing.assert_array_equal(gallery.embeddings, rows[order])
    assert list(gallery.sources) == [f"图 {n}.jpg" for n in order]
    assert [gallery.names[gallery.person_of(image)] for image in range(6)] == [NAMES[n] for n in order]


def test_written_is_read(gallery, tmp_path):
    gallery.save(tmp_path / "g.npz")
    loaded = Gallery.load(tmp_path / "g.npz")
    assert isinstance(loaded.embeddings, np.memmap) and loaded.embeddings.flags.aligned
    assert loaded.embeddings.ctypes.data % 64 == 0
    np.testing.assert_array_equal(loaded.embeddings, gallery.embeddings)
    np.testing.assert_array_equal(loaded.starts, gallery.starts)
    assert list(loaded.names) == list(gallery.names) and list(loaded.sources) == list(gallery.sources)
    assert loaded.about == {"model": "π", "digest": "0"}
    assert os.listdir(tmp_path) == ["g.npz"]
    loaded.save(tmp_path / "again.npz")
    with np.load(tmp_path / "again.npz") as again:  # by what NumPy alone makes of it
        np.testing.assert_array_equal(again["embeddings"], gallery.embeddings)
        assert bytes(again["names"]).decode() == "王小明Ελένηa" and again["names_ends"].tolist() == [9, 19, 20]
        assert json.loads(bytes(again["about"])) == gallery.about


def test_an_old_gallery_stays_when_a_new_one_cannot_be_written(gallery, tmp_path):
    with pytest.raises(UserError, match="the gallery cannot be written to"):
        gallery.save(tmp_path / "no" / "g.npz")
    gallery.save(tmp_path / "g.npz")
    before = (tmp_path / "g.npz").read_bytes()
    broken = Gallery(gallery.embeddings, gallery.starts, gallery.names, [None], gallery.about)
    with pytest.raises(AttributeError):
        broken.save(tmp_path / "g.npz")
    assert (tmp_path / "g.npz").read_bytes() == before and os.listdir(tmp_path) == ["g.npz"]


def parts(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_what_is_no_gallery(gallery, tmp_path):
    path = tmp_path / "g.npz"
    with pytest.raises(UserError, match="there is no gallery at"):
        Gallery.load(path)
    gallery.save(path)
    whole, good = path.read_bytes(), parts(path)
    for damaged in (b"", b"text", whole[:-200], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="is not a gallery, or is damaged"):
            Gallery.load(path)
    for change, sentence in (
        ({"about": None}, "is not a gallery"),
        ({"about": np.frombuffer(b"{", np.uint8)}, "is not a gallery"),
        ({"starts": good["starts"][:-1]}, "parts do not fit"),
        ({"starts": np.array([0, 3, 3, 6])}, "parts do not fit"),
        ({"starts": np.array([0, 3, 5, 7])}, "parts do not fit"),
        ({"embeddings": good["embeddings"][:-1]}, "parts do not fit"),
        ({"embeddings": good["embeddings"].astype(np.float64)}, "parts do not fit"),
        ({"embeddings": good["embeddings"].ravel()}, "parts do not fit"),
        ({"sources_ends": good["sources_ends"][:-1]}, "parts do not fit"),
    ):
        np.savez(path, **{name: array for name, array in {**good, **change}.items() if array is not None})
        with pytest.raises(UserError, match=sentence):
            Gallery.load(path)
    for of_another_kind in (np.zeros(3), np.array([{}])):
        with path.open("wb") as file:
            np.save(file, of_another_kind)
        with pytest.raises(UserError, match="is not a gallery"):
            Gallery.load(path)
    np.savez_compressed(path, **good)
    with pytest.raises(UserError, match=r"embeddings\.npy is compressed"):
        Gallery.load(path)
