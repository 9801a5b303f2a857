"""Which kind of source something is, and opening it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.manifest import MANIFEST_NAME
from data.storage import is_local
from preparation.sources.archive import SUFFIXES, ArchiveSource
from preparation.sources.folder import FolderSource, is_image
from preparation.sources.lists import ListSource
from preparation.sources.ofrecord import OFRecordSource
from preparation.sources.recordio import RecordioSource
from preparation.sources.samples import holds_samples
from preparation.sources.shards import names_shards, shards_in
from preparation.sources.source import Source
from preparation.sources.webdataset import WebDatasetSource
from utils.errors import UserError
from utils.pixels import USUAL_SIZE, size_words

FORMATS = ("recordio", "folder", "archive", "webdataset", "list", "ofrecord")
LIST_NAME = "label.txt"  # in a folder as PLSC writes it


def find_format(path: Path) -> str:
    """One of `FORMATS`, from what `path` is or holds.

    Raises:
        UserError: nothing of the kind, or more than one.
    """
    if path.suffix in (".rec", ".idx"):
        raise UserError(f"{path} is one file of a set of recordio; give the folder, {path.parent}.")
    if names_shards(path):
        return "webdataset"
    if path.is_file():
        return _file_format(path)
    if not path.is_dir():
        raise UserError(f"{path} is neither a file nor a folder.")
    marks = {"recordio": "train.rec", "ofrecord": MANIFEST_NAME, "list": LIST_NAME}
    fitting = [name for name, mark in marks.items() if (path / mark).exists()]
    if len(fitting) > 1:
        held = " and ".join(marks[name] for name in fitting)
        raise UserError(f"{path} holds {held}; say with --format which is meant ({' or '.join(fitting)}).")
    if (path / "part-00000").exists() and not fitting:
        raise UserError(f"{path} holds OFRecord parts but no {MANIFEST_NAME}; make it with tools/index_ofrecord.py.")
    return fitting[0] if fitting else _folder_format(path)


def _file_format(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".tar" and holds_samples(path):
        return "webdataset"
    return "archive" if suffix in SUFFIXES else "list"


def _folder_format(path: Path) -> str:
    """Of a folder without any mark: shards lie in it, or people's folders."""
    try:
        if not is_local(path) or not shards_in(path):
            return "folder"
        people = next(filter(_holds_images, path.iterdir()), None)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if people:
        raise UserError(
            f"{path} holds archives, and folders such as {people.name}; say with --format which are meant "
            "(webdataset or folder)."
        )
    return "webdataset"


def _holds_images(folder: Path) -> bool:
    """As somebody's folder does, and neither a converted set nor half of one."""
    if folder.name.startswith(".") or not folder.is_dir():
        return False
    return any(is_image(os.fsencode(path.name)) for path in folder.iterdir())


@contextmanager
def open_source(
    path: Path,
    format: str,
    root: Path | None = None,
    scratch: Path | None = None,
    image_size: tuple[int, int] | None = None,
    label: str | None = None,
) -> Iterator[Source]:
    """The source at `path`, for as long as the context lasts.

    Args:
        format: one of `FORMATS`.
        root: where the relative names of a list begin; None: in the list's folder.
        scratch: a folder in which to keep the list of a folder's images; None: where temporary files go.
        image_size: height and width of its images. None: as a set of recordio or OFRecord says itself, and 112x112 of
            images in files of their own, where another size is more likely a face that was never aligned.
        label: which member of a WebDataset's sample says who it is, as `SampleLabels` takes it.

    Raises:
        UserError: it is not such a source, or says another `image_size` of itself.
    """
    if root is not None and format != "list":
        raise UserError(f"--root says where the names of a list begin, but {path} is not one ({format}).")
    if label is not None and format != "webdataset":
        raise UserError(f"--label says where the labels of a WebDataset are, but {path} is not one ({format}).")
    if format in ("recordio", "ofrecord"):
        source = (RecordioSource if format == "recordio" else OFRecordSource)(path)
        if image_size not in (None, source.image_size):
            said = size_words(source.image_size)
            raise UserError(
                f"{path} says that it holds {said} images; leave out --image_size {size_words(image_size)}."
            )
        yield source
        return
    size = image_size or USUAL_SIZE
    with tempfile.TemporaryDirectory(prefix="faces-", dir=scratch) as folder:
        if scratch:
            os.chmod(folder, 0o755)  # workers elsewhere may be other users
        if format in ("folder", "archive"):
            yield (FolderSource if format == "folder" else ArchiveSource)(path, Path(folder), size)
        elif format == "webdataset":
            yield WebDatasetSource(path, Path(folder), size, label)
        else:
            yield ListSource(path / LIST_NAME if path.is_dir() else path, root, Path(folder), size)
