"""The rows of class centers in host memory, by loops of `native/`: one pass over memory, where NumPy takes ten."""

import ctypes
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from native.library import loaded_kernels


class SgdSettings(NamedTuple):
    """Of stochastic gradient descent as optim/sgd.py writes it, for one step."""

    rate: float
    momentum: float
    decay: float
    decoupled: bool


class _Centers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("vectors", "width", "unit")]


class _Sgd(ctypes.Structure):
    _fields_ = [(name, ctypes.c_float) for name in ("rate", "momentum", "decay")] + [("decoupled", ctypes.c_int32)]


class CenterLoops:
    """vectors: of each class, of `width` numbers; unit: how many of those, from the first on, steps see at length 1.

    All arrays are float32 in one piece. The kernels have to be loaded. Methods raise ValueError for other arrays, and
    for rows that are not there: nothing below them would notice.
    """

    def __init__(self, vectors: int, width: int, unit: int) -> None:
        library = loaded_kernels()
        assert library is not None
        self._library, self._centers = library, _Centers(vectors, width, unit)

    def take(self, weight: NDArray[np.float32], rows: NDArray[np.int64] | slice, out: NDArray[np.float32]) -> None:
        """Writes rows as steps see them into out, (count, vectors, width). rows: (count,) int64, or a slice."""
        weight, index, count = _chosen(weight, rows)
        self._check(count, out)
        self._library.native_take_centers(
            ctypes.byref(self._centers), _pointer(weight), index, ctypes.c_int64(count), _pointer(out)
        )

    def train(
        self,
        sgd: SgdSettings,
        weight: NDArray[np.float32],
        momentum: NDArray[np.float32] | None,
        rows: NDArray[np.int64] | slice,
        gradient: NDArray[np.float32],
        out: NDArray[np.float32] | None = None,
    ) -> None:
        """A step of rows, by the gradient of what steps see of them, (count, vectors, width). rows: (count,) int64, or
        a slice. out: overwritten by the trained rows as `take` gives them.
        """
        if momentum is not None:
            momentum, _, _ = _chosen(momentum, rows)
        weight, index, count = _chosen(weight, rows)
        self._check(count, gradient, *([] if out is None else [out]))
        self._library.native_train_centers(
            ctypes.byref(self._centers),
            ctypes.byref(_Sgd(*sgd)),
            _pointer(weight),
            _pointer(momentum),
            index,
            ctypes.c_int64(count),
            _pointer(gradient),
            _pointer(out),
        )

    def _check(self, count: int, *arrays: NDArray[np.float32]) -> None:
        size = count * self._centers.vectors * self._centers.width
        if any(array.size != size for array in arrays):
            raise ValueError(f"arrays of {[array.shape for array in arrays]} for {count} rows, {size} numbers")


def _chosen(
    array: NDArray[np.float32], rows: NDArray[np.int64] | slice
) -> tuple[NDArray[np.float32], ctypes.c_void_p, int]:
    """What the loops begin at, which rows of it, and how many. Raises ValueError if some are not there."""
    if isinstance(rows, slice):
        part = array[rows]
        if len(part) != rows.stop - rows.start:
            raise ValueError(f"rows {rows.start} to {rows.stop} of {len(array)}")
        return part, _pointer(None), len(part)
    if rows.dtype != np.int64 or (len(rows) and not 0 <= rows.min() <= rows.max() < len(array)):
        raise ValueError(f"rows of {rows.dtype}, {rows.min()} to {rows.max()}, of {len(array)}")
    return array, _pointer(rows, np.int64), len(rows)


def _pointer(array: NDArray[np.generic] | None, dtype: type[np.generic] = np.float32) -> ctypes.c_void_p:
    if array is None:
        return ctypes.c_void_p(None)
    if array.dtype != dtype or not (array.flags.c_contiguous and array.flags.aligned):
        raise ValueError(f"an array of {array.dtype} {array.shape} that is not {np.dtype(dtype)} in one piece")
    return ctypes.c_void_p(array.ctypes.data)
