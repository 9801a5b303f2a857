"""Data sets: OFRecord parts with their manifest and sidecars, recordio, verification sets."""

import json
import pickle
from pathlib import Path

import numpy as np

from data.loader import RecordLoader
from data.manifest import Manifest
from data.ofrecord import scan_part
from evaluation.bin_set import BinSet, write_bin
from evaluation.sources import RecordImages
from preparation.inspect.part import RECORD_DTYPE, inspect_part
from preparation.record_sets import RecordSets
from preparation.sources.ofrecord import OFRecordSource
from preparation.sources.recordio import RecordioSource
from tests.data.mxnet_sets import MAGIC_BYTES, encode, jpegs, picture, with_comment, write_set
from tests.data.ofrecord_sets import make_set
from tests.fuzz.format import Format
from tests.fuzz.judge import digest


def make_ofrecord(folder: Path) -> None:
    make_set(folder / "set", jpegs(12), [0, 1, 2] * 4, 3, parts=2)
    np.save(folder / "weights.npy", np.ones(12))


def read_ofrecord(folder: Path) -> str:
    path = folder / "set"
    loader = RecordLoader(path, 4)
    batches = [digest(batch.images, batch.labels) for batch in loader.batches(0, loader.steps_per_epoch)]
    images = RecordImages(path)
    images.decode(0, len(images))
    return digest(*batches, loader.class_sizes())


def read_ofrecord_whole(folder: Path) -> str:
    path = folder / "set"
    loader = RecordLoader(path, 4, verify_data="full")
    return digest(*(digest(batch.images, batch.labels) for batch in loader.batches(0, loader.steps_per_epoch)))


def read_ofrecord_source(folder: Path) -> str:
    """As the workshop does: a conversion, a selection, an inspection."""
    source = OFRecordSource(folder / "set")
    entries = source.reader.judge(source.records(), verify=True)
    list(source.reader.read(entries))
    sets = RecordSets(folder / "set")
    list(sets.images(np.arange(len(sets))))
    manifest = Manifest.load(folder / "set")
    table = folder / "table.npy"
    np.save(table, np.zeros(sum(part.records for part in manifest.parts), RECORD_DTYPE))
    start = 0
    for part in manifest.parts:
        faults = folder / "faults.csv"
        inspect_part(folder / "set", part, start, manifest.num_classes, manifest.image_size, True, True, table, faults)
        start += part.records
        scan_part(folder / "set" / part.name, manifest.num_classes)
    return ""


def make_recordio(folder: Path) -> None:
    images = jpegs(6)
    images[2] = with_comment(images[2], MAGIC_BYTES)
    images[3] = encode(picture(3), ".png")
    write_set(folder / "set", images, [0.0, 1.0, 2.0] * 2, 3)


def read_recordio(folder: Path) -> str:
    source = RecordioSource(folder / "set")
    entries = source.images(source.reader.judge(source.records(), verify=True))
    return digest(*source.reader.read(entries), entries["label"])


def make_bin(folder: Path) -> None:
    images = jpegs(4)
    write_bin(folder / "new.bin", images, [True, False])
    arrays = [np.frombuffer(image, np.uint8) for image in images]
    for protocol in (0, 2, 5):
        content = (arrays, [np.True_, np.False_])
        (folder / f"arrays{protocol}.bin").write_bytes(pickle.dumps(content, protocol))
    (folder / "old.bin").write_bytes(pickle.dumps((images, [True, False]), 2))


def read_bin(folder: Path) -> str:
    for path in sorted(folder.glob("*.bin")):
        images = BinSet.load(path)
        images.decode(0, len(images))
        images.digest()
    return ""


def seal_nothing(folder: Path) -> None:
    """Makes the damage of a manifest reach its values: counts of parts agree again."""
    path = folder / "set/dataset.json"
    try:
        content = json.loads(path.read_bytes())
        content["num_records"] = sum(part["records"] for part in content["parts"])
        path.write_text(json.dumps(content))
    except (ValueError, TypeError, KeyError, RecursionError):
        pass


_PARTS = ("set/part-00000", "set/part-00001", "set/part-00000.index.npy", "set/part-00001.index.npy")
FORMATS = (
    Format(
        "ofrecord",
        ("data.loader", "data.manifest", "data.ofrecord", "evaluation.sources"),
        make_ofrecord,
        ("set/dataset.json", *_PARTS),
        read_ofrecord,
        after=seal_nothing,
    ),
    Format(
        "ofrecord_whole",
        ("data.verify",),
        make_ofrecord,
        _PARTS,
        read_ofrecord_whole,
        sealed=True,
    ),
    Format(
        "ofrecord_source",
        ("preparation.sources.ofrecord", "preparation.record_sets", "preparation.inspect.part"),
        make_ofrecord,
        ("set/dataset.json", *_PARTS),
        read_ofrecord_source,
    ),
    Format(
        "recordio",
        ("preparation.sources.recordio_file", "data.storage"),
        make_recordio,
        ("set/train.rec", "set/train.idx", "set/property"),
        read_recordio,
    ),
    Format(
        "bin",
        ("evaluation.bin_set", "utils.reading.pickled"),
        make_bin,
        ("new.bin", "old.bin", "arrays0.bin", "arrays2.bin", "arrays5.bin"),
        read_bin,
    ),
)
