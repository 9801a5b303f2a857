"""Making OneFlow quick on a CPU, before it is imported."""

import ctypes
import functools
import importlib.util
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from threadpoolctl import ThreadpoolController

_HASWELL = {"avx2", "fma"}
_SKYLAKEX = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
# In this order: each needs the symbols of those before it.
_LIBRARIES = ("libquadmath-*.so*", "libgfortran-*.so*", "libopenblasp-*.so*")


def choose_blas_kernels(
    environ: MutableMapping[str, str], cpuinfo: Path = Path("/proc/cpuinfo"), libraries: Path | None = None
) -> str:
    """Gives OneFlow a newer OpenBLAS than its own, and has it use the best kernels of this CPU; says which.

    OneFlow 0.9.0 bundles an OpenBLAS that takes kernels of 2007 for any CPU newer than itself, several times slower
    than its AVX2 ones, and has none for AVX-512. It calls `cblas_sgemm` by name, so that the OpenBLAS in scipy's wheel
    serves it when loaded first. Where that is not there (`libraries`: the folder scipy.libs), OneFlow's own is made to
    use AVX2. Both read OPENBLAS_CORETYPE when they are loaded; a value that is set already stays.
    """
    flags = set()
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        flags = set(next((line.split() for line in lines if line.startswith("flags")), []))
    if not flags >= _HASWELL:
        return "OneFlow's OpenBLAS"  # not an x86 CPU of these ten years: nothing here was tried on it
    if libraries is None:
        # OneFlow binds its calls one by one, when they are first made: loaded later, a second OpenBLAS would get some
        # of them, and crash on the data of the first.
        libraries = Path("none") if "oneflow" in sys.modules else _scipy_libraries()
    paths = _find_libraries(libraries)
    kernels = "SkylakeX" if paths and flags >= _SKYLAKEX else "Haswell"
    environ.setdefault("OPENBLAS_CORETYPE", kernels)
    loaded = paths and _load(paths)
    return f"{'scipy' if loaded else 'OneFlow'}'s OpenBLAS, {environ['OPENBLAS_CORETYPE']} kernels"


def _scipy_libraries() -> Path:
    spec = importlib.util.find_spec("scipy")
    return Path(spec.origin).parents[1] / "scipy.libs" if spec and spec.origin else Path("none")


def _find_libraries(folder: Path) -> list[Path]:
    """The three files to load, or none where one is missing."""
    paths = [path for pattern in _LIBRARIES for path in sorted(folder.glob(pattern))[:1]]
    return paths if len(paths) == len(_LIBRARIES) else []


def _load(paths: list[Path]) -> bool:
    with suppress(OSError):
        *_, openblas = [ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL) for path in paths]
        return hasattr(openblas, "cblas_sgemm")  # from scipy 1.14 on its names begin with scipy_
    return False


@functools.cache
def numpy_blas() -> ThreadpoolController:
    """The BLAS of NumPy alone, to `limit` its threads; OneFlow computes with another one at the same time."""
    loaded = ThreadpoolController()
    return loaded.select(filepath=[x.filepath for x in loaded.lib_controllers if "numpy.libs" in x.filepath])
