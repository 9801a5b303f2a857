"""What evaluations and recognition leave behind: embeddings, galleries, results, thresholds."""

from pathlib import Path

import numpy as np

from deploy.thresholds import measured_threshold, store_thresholds
from evaluation.bin_set import write_bin
from evaluation.embedding_file import EmbeddingFile, load_embeddings
from evaluation.pairs import read_bin
from evaluation.report import write_report
from evaluation.verify_pairs import verify_pairs
from recognition.gallery import Gallery
from tests.data.mxnet_sets import jpegs
from tests.fuzz.format import Format
from tests.fuzz.judge import digest
from utils.errors import UserError


def make_embeddings(folder: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((6, 2, 4)).astype(np.float32)
    file = EmbeddingFile(folder / "x.npy", rows.shape, {"source": "set", "digest": "0", "model": "m"})
    for start, stop in file.missing():
        file.write(start, rows[start:stop])
    assert file.finish()


def read_embeddings(folder: Path) -> str:
    return digest(load_embeddings(folder / "x.npy")[0])


def make_gallery(folder: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((7, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    Gallery.build(rows, list("aabbccd"), [f"{n} ü.jpg" for n in range(7)], {"digest": "0"}).save(folder / "g.npz")


def read_gallery(folder: Path) -> str:
    found = Gallery.load(folder / "g.npz")
    people = [found.person_of(image) for image in range(len(found.embeddings))]
    return digest(np.array(found.embeddings), people, list(found.names), list(found.sources), found.about)


def make_result(folder: Path) -> None:
    write_bin(folder / "set.bin", jpegs(60), [True, False, True] * 10)
    embeddings = np.random.default_rng(0).normal(size=(60, 2, 6)).astype(np.float32)
    _, result = verify_pairs("set", read_bin(folder / "set.bin"), embeddings, "a model", out=folder)
    store_thresholds(folder, "0" * 8, {"set": result})


def read_result(folder: Path) -> str:
    write_report([folder / "set.json"], folder)
    return ""


def read_thresholds(folder: Path) -> str:
    try:
        measured_threshold(folder, "0" * 8)
    except UserError as error:
        assert "thresholds.json" in str(error)
        raise
    return ""


FORMATS = (
    Format("embeddings", ("evaluation.embedding_file",), make_embeddings, ("x.npy",), read_embeddings, sealed=True),
    Format(
        "embeddings_about",
        ("evaluation.embedding_file", "utils.reading.json_file"),
        make_embeddings,
        ("x.json",),
        read_embeddings,
    ),
    Format(
        "gallery",
        ("recognition.gallery", "utils.reading.array_file"),
        make_gallery,
        ("g.npz",),
        read_gallery,
        sealed=True,
    ),
    Format("result", ("evaluation.results", "evaluation.report"), make_result, ("set.json",), read_result),
    Format("thresholds", ("deploy.thresholds",), make_result, ("thresholds.json",), read_thresholds),
)
