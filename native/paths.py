"""Where the kernels' sources, what they are built against, and the built library are. Imports nothing of OneFlow."""

import hashlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError

FOLDER = Path(__file__).resolve().parent
SOURCES = FOLDER / "src"
_BUILT = FOLDER / "build"

# Of every file, and of those with loops over numbers, which are compiled once for each kind of CPU.
FLAGS = ("-std=c++17", "-fPIC", "-fopenmp", "-fvisibility=hidden", "-mavx2", "-mfma", "-w")
FLAGS_OF_KERNELS = ("-O2", "-D_GLIBCXX_USE_CXX11_ABI=0", "-DHALF_ENABLE_CPP11_USER_LITERALS=0")
FLAGS_OF_LOOPS = ("-O3", "-fno-trapping-math", "-fno-math-errno")
_AVX512 = ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mprefer-vector-width=512")
LOOPS = {"Avx2": (), "Avx512": _AVX512}


@dataclass(frozen=True)
class Packages:
    """oneflow: its folder; libraries: the three of its wheel that are linked; onednn: its library; headers: its
    headers' folder.
    """

    oneflow: Path
    libraries: tuple[Path, ...]
    onednn: Path
    headers: Path


def find_packages() -> Packages:
    """What is installed beside this Python. Raises UserError, with what to install, if something is missing."""
    spec = importlib.util.find_spec("oneflow")
    if spec is None or spec.origin is None:
        raise UserError("OneFlow is not installed: run ./setup.sh")
    oneflow = Path(spec.origin).parent
    folder = oneflow.parent / "oneflow.libs"
    patterns = ("liboneflow-*.so", "libof_protoobj-*.so", "libprotobuf-*.so.*")
    libraries = tuple(path for pattern in patterns for path in sorted(folder.glob(pattern)))
    if len(libraries) != len(patterns) or not importlib.metadata.version("oneflow").startswith("0.9.0"):
        raise UserError("they are made for OneFlow 0.9.0's wheel, and this is another")
    onednn = _file_of("onednn-cpu-gomp", "libdnnl.so.3")
    return Packages(oneflow, libraries, onednn, _file_of("onednn-devel-cpu-gomp", "dnnl.hpp").parent)


def _file_of(package: str, name: str) -> Path:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    paths = [Path(file.locate()) for file in files if file.name == name]
    if not paths or not paths[0].exists():
        raise UserError(f"the package {package} is missing: pip install -r requirements.txt")
    return paths[0].resolve().parent / name


def library_path(packages: Packages) -> Path:
    """Where the library for these sources, flags and packages is, or would be. The folder's name is their checksum."""
    checksum = hashlib.sha256(repr((FLAGS, FLAGS_OF_KERNELS, FLAGS_OF_LOOPS, LOOPS)).encode())
    for path in (*sorted(SOURCES.rglob("*.cpp")), *sorted(SOURCES.rglob("*.h"))):
        checksum.update(f"{path.relative_to(SOURCES)}\n".encode() + path.read_bytes())
    checksum.update(repr([path.name for path in packages.libraries]).encode())
    checksum.update(importlib.metadata.version("onednn-cpu-gomp").encode())
    return _BUILT / checksum.hexdigest()[:16] / "kernels.so"


def failure_path(library: Path) -> Path:
    """Where it is kept why `library` could not be built: a line with the reason, one with the compiler's identity."""
    return library.with_name("failed.txt")
