"""Making OneFlow quick on a CPU, before it is imported."""

from collections.abc import MutableMapping
from pathlib import Path


def choose_blas_kernels(environ: MutableMapping[str, str], cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Has OneFlow's OpenBLAS use its AVX2 kernels where the CPU has them.

    OneFlow 0.9.0 bundles an OpenBLAS that takes those of 2007 for any CPU newer than itself, at half the speed; it has
    none for AVX-512. It reads OPENBLAS_CORETYPE when it is loaded; a value that is set already stays.
    """
    if "OPENBLAS_CORETYPE" in environ or not cpuinfo.exists():
        return
    flags = next((line.split() for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), [])
    if {"avx2", "fma"} <= set(flags):
        environ["OPENBLAS_CORETYPE"] = "Haswell"
