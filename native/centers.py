"""The rows of class centers in host memory, by loops of `native/`: one pass over memory, where NumPy takes ten."""

import ctypes
from typing import NamedTuple

import numpy as np

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

    All arrays are float32 in one piece. The kernels have to be loaded.
    """

    def __init__(self, vectors: int, width: int, unit: int) -> None:
        library = loaded_kernels()
        assert library is not None
        self._library, self._centers = library, _Centers(vectors, width, unit)

    def take(self, weight: np.ndarray, rows: np.ndarray | slice, out: np.ndarray) -> None:
        """Writes rows as steps see them into out, (count, vectors, width). rows: (count,) int64, or a slice from 0."""
        index, count = _index(rows)
        self._library.native_take_centers(
            ctypes.byref(self._centers), _pointer(weight), index, ctypes.c_int64(count), _pointer(out)
        )

    def train(
        self,
        sgd: SgdSettings,
        weight: np.ndarray,
        momentum: np.ndarray | None,
        rows: np.ndarray | slice,
        gradient: np.ndarray,
        out: np.ndarray | None = None,
    ) -> None:
        """A step of rows, by the gradient of what steps see of them, (count, vectors, width). rows: (count,) int64, or
        a slice. out: overwritten by the trained rows as `take` gives them.
        """
        if isinstance(rows, slice):
            weight, momentum = weight[rows], None if momentum is None else momentum[rows]
        index, count = _index(rows)
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


def _index(rows: np.ndarray | slice) -> tuple[ctypes.c_void_p, int]:
    return (_pointer(None), rows.stop - rows.start) if isinstance(rows, slice) else (_pointer(rows), len(rows))


def _pointer(array: np.ndarray | None) -> ctypes.c_void_p:
    assert array is None or array.flags.c_contiguous
    return ctypes.c_void_p(None if array is None else array.ctypes.data)
