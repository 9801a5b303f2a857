"""The class centers that a checkpoint holds."""

from pathlib import Path

import numpy as np

from engine.checkpoint_names import of_centers
from heads.stores.mapped import find
from utils.errors import UserError
from utils.reading.array_file import map_array
from utils.tensor_file import read_rows, tensor_shape, tensor_type


def read_shards(shards: list[Path], name: str, start: int, stop: int) -> np.ndarray | None:
    """Rows [start, stop) of an array whose parts lie in the files of all ranks, in order; None if no file has it.

    Raises UserError if the files do not fit together, or hold fewer rows.
    """
    rows, first = None, 0
    for path in shards:
        shape = tensor_shape(path, name)
        if shape is None:
            continue
        if rows is None:
            rows = np.empty((stop - start, *shape[1:]), tensor_type(path, name))
        if (shape[1:], tensor_type(path, name)) != (rows.shape[1:], rows.dtype):
            raise UserError(f"{path} is damaged: its {name} is of another kind than that of the ranks before it")
        lo, hi = max(start, first), min(stop, first + shape[0])
        if lo < hi:
            read_rows(path, name, lo - first, rows[lo - start : hi - start])
        first += shape[0]
    if rows is not None and first < stop:
        raise UserError(f"{shards[0].parent} is damaged: it holds {first} rows of {name}, and {stop} are needed")
    return rows


class SavedCenters:
    """The class centers of a checkpoint, as a store reads them (`heads.stores.store.SavedRows`): rows that no rank has
    asked for stay on the disk.

    shards: the files of all ranks, in order; about: of the checkpoint. folder: of the files they live in, if a store
    keeps them by itself (`MappedRows`): where they were, beside this checkpoint (its run may have been moved), or set
    aside there. Raises UserError if these are gone.
    """

    def __init__(self, checkpoint: Path, shards: list[Path], about: dict) -> None:
        self.step, self._shards, self._checkpoint = about["step"], shards, checkpoint
        self._files: dict | None = about.get("head_files")

    @property
    def folder(self) -> Path | None:
        """Where the files are now: a store that begins in their place sets them aside."""
        if self._files is None:
            return None
        return self._find(self._files)

    def _find(self, files: dict) -> Path:
        recorded = Path(files["folder"])
        beside = self._checkpoint.resolve().parents[1] / recorded.name
        folder = find(files["identity"], (recorded, beside))
        if folder is None:
            raise UserError(f"the class centers of {self._checkpoint}, once in {recorded}, are gone or of another run")
        return folder

    def has(self, name: str) -> bool:
        return _mapped(self._find(self._files), name).exists() if self._files else self._saved_name(name) is not None

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of all classes, in the type they were stored in.

        Those that live in files of their own are mapped, not read; changes to the array do not reach the files. Raises
        UserError if there are fewer.
        """
        if self._files:
            path = _mapped(self._find(self._files), name)
            if not path.exists():
                raise UserError(f"the class centers of {self._checkpoint} are not whole: {path} is missing")
            rows = map_array(path, "is damaged", mode="c")
            if len(rows) < stop:
                raise UserError(f"{path} is damaged: it holds {len(rows)} rows, and {stop} are needed")
            return rows[start:stop]
        saved = self._saved_name(name)
        held = None if saved is None else read_shards(self._shards, saved, start, stop)
        if held is None:
            raise UserError(f"{self._checkpoint} is damaged: none of its files holds the {name} of class centers")
        return held

    def _saved_name(self, name: str) -> str | None:
        names = (saved for saved in of_centers(name) if any(tensor_shape(path, saved) for path in self._shards))
        return next(names, None)


def _mapped(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"
