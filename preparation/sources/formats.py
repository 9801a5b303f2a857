"""Which kind of source something is, and opening it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.manifest import MANIFEST_NAME
from preparation.sources.archive import SUFFIXES, ArchiveSource
from preparation.sources.folder import FolderSource
from preparation.sources.lists import ListSource
from preparation.sources.ofrecord import OFRecordSource
from preparation.sources.recordio import RecordioSource
from preparation.sources.source import Source
from utils.errors import UserError
from utils.pixels import USUAL_SIZE, size_words

FORMATS = ("recordio", "folder", "archive", "list", "ofrecord")
LIST_NAME = "label.txt"  # in a folder as PLSC writes it


def find_format(path: Path) -> str:
    """One of `FORMATS`, from what `path` is or holds.

    Raises:
        UserError: nothing of the kind, or more than one.
    """
    if path.suffix in (".rec", ".idx"):
        raise UserError(f"{path} is one file of a set of recordio; give the folder, {path.parent}.")
    if path.is_file():
        return "archive" if path.suffix.lower() in SUFFIXES else "list"
    if not path.is_dir():
        raise UserError(f"{path} is neither a file nor a folder.")
    marks = {"recordio": "train.rec", "ofrecord": MANIFEST_NAME, "list": LIST_NAME}
    fitting = [name for name, mark in marks.items() if (path / mark).exists()]
    if len(fitting) > 1:
        held = " and ".join(marks[name] for name in fitting)
        raise UserError(f"{path} holds {held}; say with --format which is meant ({' or '.join(fitting)}).")
    if (path / "part-00000").exists() and not fitting:
        raise UserError(f"{path} holds OFRecord parts but no {MANIFEST_NAME}; make it with tools/index_ofrecord.py.")
    return fitting[0] if fitting else "folder"


@contextmanager
def open_source(
    path: Path,
    format: str,
    root: Path | None = None,
    scratch: Path | None = None,
    image_size: tuple[int, int] | None = None,
) -> Iterator[Source]:
    """The source at `path`, for as long as the context lasts.

    Args:
        format: one of `FORMATS`.
        root: where the relative names of a list begin; None: in the list's folder.
        scratch: a folder in which to keep the list of a folder's images; None: where temporary files go.
        image_size: height and width of its images. None: as a set of recordio or OFRecord says itself, and 112x112 of
            images in files of their own, where another size is more likely a face that was never aligned.

    Raises:
        UserError: it is not such a source, or says another `image_size` of itself.
    """
    if root is not None and format != "list":
        raise UserError(f"--root says where the names of a list begin, but {path} is not one ({format}).")
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
        else:
            yield ListSource(path / LIST_NAME if path.is_dir() else path, root, Path(folder), size)
