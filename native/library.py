"""Loading the built kernels into OneFlow."""

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np

from native.paths import failure_path, find_packages, library_path
from utils.errors import UserError
from utils.runtime import Runtime

_NEEDED = {"avx2", "fma"}
_loaded: ctypes.CDLL | None = None


def with_kernels(runtime: Runtime, fresh: bool = True) -> tuple[Runtime, str]:
    """Has OneFlow use the kernels of `native/` on the CPU from now on. A collective.

    fresh: whether no operator has run in this process. OneFlow remembers by address which kernel an operator has, and
    new ones move the others: an operator that has run before would crash. Returns the runtime, whose `native` says
    whether all ranks have the kernels, and "", or why this rank, or another, has not.
    """
    reason = "" if fresh else "OneFlow was in use in this process before"
    try:
        if fresh:
            load_kernels()
    except UserError as error:
        reason = str(error)
    missing = runtime.exchange(np.array([bool(reason)])).ravel()
    if missing.any() and not reason:
        reason = f"rank {int(missing.argmax())} has none"
    return replace(runtime, native=not reason), reason


def built_library(cpuinfo: Path = Path("/proc/cpuinfo")) -> Path:
    """The library that this machine can load. Raises UserError, saying what is missing, if there is none."""
    flags: set[str] = set()
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        flags = set(next((line.split() for line in lines if line.startswith("flags")), []))
    if not flags >= _NEEDED:
        raise UserError("this CPU has no AVX2")
    library = library_path(find_packages())
    if not library.exists():
        failure = failure_path(library)
        raise UserError(
            failure.read_text().splitlines()[0] if failure.exists() else "run ./setup.sh, which builds them"
        )
    return library


def load_kernels() -> None:
    """Loads them into this process, once, and before its first operator (`with_kernels` says why).

    Raises UserError, saying what is missing, if that is not possible.
    """
    global _loaded
    if _loaded is not None:
        return
    library = built_library()
    from oneflow._oneflow_internal import LoadLibrary
    from oneflow._oneflow_internal.exception import Exception as OneFlowError

    try:
        # Before the kernels, and for them alone: OneFlow holds an older oneDNN, and each must find its own functions.
        ctypes.CDLL(str(find_packages().onednn), mode=ctypes.RTLD_LOCAL)
        LoadLibrary(str(library))
        _loaded = ctypes.CDLL(str(library))
    except (OSError, OneFlowError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"they do not load ({first}); apt-get install libgomp1, or remove native/build") from None


def loaded_kernels() -> ctypes.CDLL | None:
    """The library, if this process has loaded it."""
    return _loaded


def scratch_bytes() -> int:
    """Memory that the kernels of this process keep to compute in."""
    if _loaded is None:
        return 0
    _loaded.native_scratch_bytes.restype = ctypes.c_int64
    size: int = _loaded.native_scratch_bytes()
    return size
