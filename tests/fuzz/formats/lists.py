"""Lists: of images, pairs, people, labels and records; IJB's tables; weights of records."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data.samplers import Epoch, make_sampler
from evaluation.ijb_meta import ijb_images, load_ijb
from evaluation.pairs import read_pairs
from evaluation.sources import ListedImages
from preparation.edit.classes import read_names
from preparation.edit.lists import read_columns, read_labels, read_records
from preparation.record_sets import RecordSets
from preparation.sources.lists import ListSource
from recognition.people import labeled_pictures
from tests.data.mxnet_sets import jpegs
from tests.evaluation.ijb_files import write_small_ijb
from tests.fuzz.format import Format
from tests.fuzz.formats.sets import make_ofrecord
from utils.errors import UserError

_FILES = {
    "magface.list": "a.jpg 0 3 0\nb.jpg 0 4 0\na.jpg 0 -1 0\n",
    "tab.list": "a.jpg\tanna\nb.jpg\tbert\n",
    "images.txt": 'a.jpg 1 2\n"b.jpg" x\na.jpg\tc\n',
    "pairs.txt": "a.jpg b.jpg 0\na.jpg a.jpg 1\n",
    "people.txt": "a.jpg\tAnna\nb.jpg\tBert\n",
    "labels.txt": "0\n2\n",
    "records.csv": "part,record,drop\npart-00000,1,1\n1,2,0\n",
    "numbers.csv": "record\n3\n4\n",
    "pairs.csv": "keep,drop\n0,1\n2,1\n",
}


def make_lists(folder: Path) -> None:
    make_ofrecord(folder)
    (folder / "set/classes.txt").write_bytes(b"anna\nbert\nc\n")
    for name, content in zip(("a.jpg", "b.jpg"), jpegs(2), strict=True):
        (folder / name).write_bytes(content)
    for name, text in _FILES.items():
        (folder / name).write_text(text)


def _list_source(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as scratch:
        source = ListSource(path, None, Path(scratch), (112, 112))
        source.images(source.reader.judge(source.records(), verify=True))
        source.fingerprint()


def _listed(path: Path) -> None:
    images = ListedImages(path)
    images.digest()
    images.decode(0, len(images))


def _weights(path: Path) -> None:
    sampler = make_sampler("weighted", path=str(path))
    if sampler.fault(lambda: np.array([4, 4, 4]), 4, 4) is None:
        sampler.records(Epoch(0, 0, 12, 3, 4), lambda: np.zeros(12, np.int32))


_READERS: dict[str, Callable] = {
    "magface.list": _list_source,
    "tab.list": _list_source,
    "images.txt": _listed,
    "pairs.txt": read_pairs,
    "people.txt": labeled_pictures,
    "labels.txt": read_labels,
    "records.csv": lambda path: read_records(path, RecordSets(path.parent / "set")),
    "numbers.csv": lambda path: read_records(path, RecordSets(path.parent / "set")),
    "pairs.csv": lambda path: read_columns(path, ["keep", "drop"], 3),
    "set/classes.txt": lambda path: read_names(RecordSets(path.parent)),
    "weights.npy": _weights,
}


def read_lists(folder: Path) -> str:
    """All of them, whichever is damaged; the first that is refused counts."""
    refused = None
    for name, read in _READERS.items():
        try:
            read(folder / name)
        except UserError as error:
            refused = refused or error
    if refused:
        raise refused
    return ""


def make_ijb(folder: Path) -> None:
    write_small_ijb(folder)


def read_ijb(folder: Path) -> str:
    load_ijb(folder, "IJBC")
    images = ijb_images(folder, "IJBC")
    images.decode(0, len(images))
    return ""


_META = "IJBC/meta/ijbc_"
FORMATS = (
    Format(
        "lists",
        (
            *("preparation.sources.lists", "evaluation.sources", "preparation.edit.lists", "preparation.edit.classes"),
            *("data.samplers.weighted", "utils.reading.lines", "recognition.people", "evaluation.pairs"),
        ),
        make_lists,
        tuple(_READERS),
        read_lists,
    ),
    Format(
        "ijb",
        ("evaluation.ijb_lines", "evaluation.ijb_meta"),
        make_ijb,
        tuple(
            _META + name
            for name in (
                *("face_tid_mid.txt", "name_5pts_score.txt", "template_pair_label.txt"),
                *("1N_gallery_G1.csv", "1N_probe_mixed.csv"),
            )
        ),
        read_ijb,
    ),
)
