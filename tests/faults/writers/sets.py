"""Data sets: conversions and what is made of finished sets."""

from pathlib import Path

from data.manifest import SUCCESS_NAME, Manifest
from data.ofrecord import file_crc32
from evaluation.bin_set import BinSet, write_bin
from preparation.convert.to_ofrecord import Settings, convert
from preparation.convert.to_recordio import write_recordio
from preparation.sources.recordio import RecordioSource
from tests.data.mxnet_sets import encode, jpegs, picture, write_set
from tests.data.ofrecord_sets import make_set
from tests.faults.writer import Writer
from tests.fuzz.judge import digest
from tests.preparation.inline import InlineExecutor
from utils.errors import UserError


def make_source(folder: Path) -> None:
    write_set(folder / "faces", [*jpegs(4), encode(picture(5), ".png"), b""], [0.0, 1.0, 2.0] * 2, 3)


def write_ofrecord(folder: Path) -> None:
    pool = InlineExecutor.pool(lambda task: task())
    try:
        convert(Settings(folder / "faces", folder / "set", num_part=2), pool)
    except UserError as error:
        if "already holds a finished set" not in str(error):  # by a conversion that ended right after that
            raise


def read_ofrecord(folder: Path) -> str:
    """A set that is called finished is whole."""
    source = digest(*(path.read_bytes() for path in sorted((folder / "faces").iterdir())))
    if not (folder / "set" / SUCCESS_NAME).exists():
        return f"no set; {source}"
    manifest = Manifest.load(folder / "set")
    manifest.check(folder / "set")
    assert all(file_crc32(folder / "set" / part.name) == part.crc32 for part in manifest.parts)
    return f"{manifest.digest()} {source}"


def make_recordio(folder: Path) -> None:
    make_set(folder / "old", jpegs(3), [0, 1, 2], 3, parts=1)
    make_set(folder / "new", jpegs(6), [0, 1, 2] * 2, 3, parts=2)
    write_recordio(folder / "old", folder / "faces", False)


def read_recordio(folder: Path) -> str:
    source = RecordioSource(folder / "faces")
    entries = source.images(source.reader.judge(source.records(), verify=True))
    return digest(*source.reader.read(entries), entries["label"])


def write_pairs(folder: Path, count: int) -> None:
    """As tools/make_bin.py does."""
    path = folder / "set.bin"
    try:
        write_bin(path, jpegs(2 * count), [True] * count)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None


def read_pairs(folder: Path) -> str:
    return BinSet.load(folder / "set.bin").digest()


WRITERS = (
    Writer(
        "converter",
        (
            "preparation.convert.to_ofrecord",
            "preparation.convert.job",
            "data.storage",
            "data.ofrecord",
            "data.manifest",
        ),
        make_source,
        write_ofrecord,
        read_ofrecord,
    ),
    Writer(
        "recordio",
        ("preparation.convert.to_recordio", "preparation.convert.recordio_writer", "utils.folders"),
        make_recordio,
        lambda folder: write_recordio(folder / "new", folder / "faces", True) and None,
        read_recordio,
    ),
    Writer(
        "bin",
        ("evaluation.bin_set",),
        lambda folder: write_pairs(folder, 1),
        lambda folder: write_pairs(folder, 2),
        read_pairs,
    ),
)
