"""Embeddings on disk: `X.npy`, (N, views, E) float32 or float16, and `X.json` beside it, which says what they are.

[:, 0] are those of the images, [:, 1] those of their mirror images, where there are any. While they are being made
they are in the folder `X.npy.unfinished`, with a byte for each block of images that is on the disk; several processes
may write different blocks, also from several machines. The last one to finish gives the files their names.
"""

import glob
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.files import make_folder, publish, sync
from utils.reading.array_file import all_rows, crc32_of, map_array
from utils.reading.json_file import read_object

BLOCK = 512  # images; what an interruption loses at most, for each process
_DATA, _ABOUT, _BLOCKS = "embeddings.npy", "about.json", "blocks"
DTYPES = ("float32", "float16")
_BEFORE = {"dtype": "float32"}  # what a description of before does not say


class EmbeddingFile:
    """`path` in the making: taken up where an earlier process left it, or begun.

    about: what the embeddings are of, for X.json; dtype: one of DTYPES. Raises UserError where the path, or an
    unfinished one, holds those of something else, or cannot be written. `whole` says whether there is nothing left to
    do.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int, int], about: Mapping[str, object], dtype: str = "float32"
    ) -> None:
        refuse_other_names(path)
        count, views, size = shape
        self._path, self._shape, self._dtype = path, shape, np.dtype(dtype)
        self._about = {**about, "count": count, "flip": views == 2, "embedding_size": size, "dtype": dtype}
        self._folder = unfinished(path)
        self._blocks = -(-count // BLOCK)
        try:
            self.whole = path.exists()
            if not self.whole and not self._folder.exists():
                self._begin()
            self._refuse_others()
            if not self.whole:
                self._offset = self._first_byte()
        except OSError as error:
            raise self._unwritable(error) from None

    def missing(self, rank: int = 0, ranks: int = 1) -> list[tuple[int, int]]:
        """The blocks, (start, stop) in images, of this rank's contiguous share that are not on the disk yet.

        Raises UserError where that cannot be read.
        """
        try:
            done = (self._folder / _BLOCKS).read_bytes()
        except OSError as error:
            raise self._unwritable(error) from None
        first, last = (self._blocks * r // ranks for r in (rank, rank + 1))
        return [
            (block * BLOCK, min((block + 1) * BLOCK, self._shape[0])) for block in range(first, last) if not done[block]
        ]

    def write(self, start: int, rows: np.ndarray) -> None:
        """A whole block, (stop - start, views, E), which then is on the disk. Raises UserError where it cannot be, and
        for numbers beyond float16.
        """
        row_bytes = int(np.prod(self._shape[1:])) * self._dtype.itemsize
        if np.abs(rows).max() > np.finfo(self._dtype).max:
            raise UserError(f"an embedding has numbers up to {np.abs(rows).max():g}, which float16 cannot hold")
        try:
            # By writing, not through a memory map: a disk that is full is then an error, and not a signal.
            self._put(_DATA, self._offset + start * row_bytes, np.ascontiguousarray(rows, self._dtype).tobytes())
            self._put(_BLOCKS, start // BLOCK, b"\1")
        except OSError as error:
            raise self._unwritable(error) from None

    def finish(self) -> bool:
        """Gives the files their names if every block is there; whether they have them."""
        # Several ranks may come here at once: all write the same, and the renaming succeeds once.
        try:
            if not self.whole and 0 not in (self._folder / _BLOCKS).read_bytes():
                about = self._folder / f"{_ABOUT}.{os.getpid()}"
                about.write_bytes(self._describe({"crc32": _crc32(self._folder / _DATA)}))
                publish(about, description(self._path))
                publish(self._folder / _DATA, self._path)
                self.whole = True
        except FileNotFoundError:
            self.whole = self._path.exists()
        except OSError as error:
            raise self._unwritable(error) from None
        if self.whole:
            for left in self._path.parent.glob(
                f"{glob.escape(self._folder.name)}*"
            ):  # beginnings that were cut off too
                shutil.rmtree(left, ignore_errors=True)
        return self.whole

    def _begin(self) -> None:
        """Makes the folder at once whole, by renaming: the ranks all try, and one succeeds."""
        own = self._folder.with_name(f"{self._folder.name}.{os.uname().nodename}.{os.getpid()}")
        make_folder(own)
        try:
            (own / _ABOUT).write_bytes(self._describe())
            (own / _BLOCKS).write_bytes(bytes(self._blocks))
            np.lib.format.open_memmap(own / _DATA, "w+", self._dtype, self._shape)
            for path in (*own.iterdir(), own):
                sync(path)
            try:
                own.rename(self._folder)
                sync(self._folder.parent)
            except OSError:
                if not self._folder.exists():
                    raise
        finally:
            shutil.rmtree(own, ignore_errors=True)

    def _refuse_others(self) -> None:
        file = description(self._path) if self.whole else self._folder / _ABOUT
        there = _read_json(file)
        for key, value in self._about.items():
            if (held := there.get(key, _BEFORE.get(key))) != value:
                where = self._path if self.whole else self._folder
                raise UserError(
                    f"{where} holds embeddings with {key} = {held}, and now it is {value}; write to another "
                    "file, or remove that one (--force)"
                )

    def _first_byte(self) -> int:
        """Of the unfinished embeddings, behind the header. Raises UserError where the file has no room for them."""
        path = self._folder / _DATA
        held = map_array(path, "is damaged", "remove its folder")
        if not isinstance(held, np.memmap) or held.shape != self._shape:
            raise UserError(f"{path} is damaged: it has room for {held.shape} and not {self._shape}; remove its folder")
        return held.offset

    def _put(self, name: str, offset: int, data: bytes) -> None:
        handle = os.open(self._folder / name, os.O_WRONLY)
        try:
            while data:
                written = os.pwrite(handle, data, offset)
                data, offset = data[written:], offset + written
            os.fsync(handle)
        finally:
            os.close(handle)

    def _describe(self, more: Mapping[str, object] | None = None) -> bytes:
        text = json.dumps({**self._about, **(more or {})}, indent=2, ensure_ascii=False) + "\n"
        return text.encode("utf-8", "backslashreplace")  # what is not UTF-8 in a path becomes JSON's own \udcff

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"{self._path} cannot be written: {error.strerror or error}")


def load_embeddings(path: Path, verify: bool = True) -> tuple[np.ndarray, dict]:
    """The embeddings in `path`, memory-mapped (N, views, E) of one of DTYPES, and what its X.json says of them.

    verify: read them once, to see that all are finite and the ones that were written. Raises UserError where they are
    missing, unfinished or damaged.
    """
    if not path.exists():
        state = "not finished; the command that began them goes on" if unfinished(path).exists() else "not there"
        raise UserError(f"the embeddings {path} are {state}")
    embeddings = map_array(path, "holds no array of embeddings, or is damaged")
    about = _read_json(description(path))
    wanted = (about.get("count"), 2 if about.get("flip") else 1, about.get("embedding_size"))
    dtype = about.get("dtype", _BEFORE["dtype"])
    if dtype not in DTYPES or embeddings.dtype != dtype or embeddings.shape != wanted:
        held = f"{embeddings.dtype} array {embeddings.shape}"
        raise UserError(f"{path} is a {held}, and its description says {dtype} {wanted}")
    if verify:
        _check(path, embeddings, about.get("crc32"))
    return embeddings, about


def _check(path: Path, embeddings: np.ndarray, crc32: object) -> None:
    """Raises UserError where numbers are not finite, or others than were written. Those of before have no checksum."""
    if not all_rows(embeddings, np.isfinite):
        raise UserError(f"{path} holds numbers that are not finite; embed again with --force")
    if crc32 is not None and crc32 != _crc32(path):
        raise UserError(f"{path} was altered or is damaged: its checksum is another one; embed again with --force")


def _crc32(path: Path) -> int:
    with path.open("rb") as file:
        return crc32_of(file, path.stat().st_size)


def refuse_other_names(path: Path) -> None:
    """Raises UserError where `path` is not called X.npy."""
    if path.suffix != ".npy":
        raise UserError(f"embeddings are written to a file that ends in .npy, not to {path}")


def remove_embeddings(path: Path) -> None:
    """Removes the files of `path`, finished or not. Raises UserError where it cannot."""
    try:
        for file in (path, description(path)):
            file.unlink(missing_ok=True)
        if unfinished(path).exists():
            shutil.rmtree(unfinished(path))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be removed: {error.strerror}") from None


def description(path: Path) -> Path:
    """X.json of X.npy."""
    return path.with_suffix(".json")


def unfinished(path: Path) -> Path:
    """The folder in which X.npy is made."""
    return path.with_name(path.name + ".unfinished")


def _read_json(file: Path) -> dict:
    try:
        return read_object(file, "is damaged", "embed again with --force")
    except FileNotFoundError:
        raise UserError(f"{file} is missing; it says what the embeddings beside it are") from None
