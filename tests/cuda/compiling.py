"""Compiles the two libraries of this folder against the OneFlow that is installed."""

import fcntl
import importlib.util
import shutil
import subprocess
from pathlib import Path

_HERE = Path(__file__).parent
# Of the wheel's headers only these: beside them it ships a C library and a libstdc++ of its own.
_HEADERS = ("oneflow", "absl", "google", "llvm", "llvm-c", "half.hpp")
_FLAGS = ("-std=c++17", "-shared", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=0")


def compile_libraries(folder: Path) -> tuple[Path, Path]:
    """The library of cards.cpp and that of kernel_registry.cpp in `folder`, compiled once (5 s)."""
    folder.mkdir(parents=True, exist_ok=True)
    cards, registry = folder / "cards.so", folder / "kernel_registry.so"
    with open(folder / "lock", "w") as lock:  # the workers of pytest-xdist share the folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cards.exists() and registry.exists()):
            package = Path(importlib.util.find_spec("oneflow").origin).parent
            libraries = package.parent / "oneflow.libs"
            (oneflow,) = libraries.glob("liboneflow-*.so")
            _compile(cards, _HERE / "cards.cpp", f'-DONEFLOW_LIBRARY="{oneflow}"', "-ldl")
            linked = [f"-l:{path.name}" for path in (oneflow, *libraries.glob("lib*proto*.so*"))]
            _compile(
                registry, _HERE / "kernel_registry.cpp", "-w", "-DHALF_ENABLE_CPP11_USER_LITERALS=0",
                f"-I{_headers(folder / 'include', package / 'include')}", f"-I{_HERE / 'headers'}",
                f"-L{libraries}", *linked, "-Wl,--allow-shlib-undefined",
            )  # fmt: skip
    return cards, registry


def _headers(links: Path, shipped: Path) -> Path:
    (links / "glog").mkdir(parents=True, exist_ok=True)
    found = {name: shipped / name for name in _HEADERS}
    found |= {f"glog/{path.name}": path for path in (shipped / "glog-build" / "glog").glob("*.h")}
    for name, target in found.items():
        if not (links / name).exists():
            (links / name).symlink_to(target)
    return links


def _compile(library: Path, source: Path, *arguments: str) -> None:
    compiler = shutil.which("g++")
    assert compiler, "The tests of the layout on CUDA need g++, which is not on PATH (Debian: apt-get install g++)"
    partial = library.with_suffix(".partial")
    # timeout also ends what the compiler has started
    command = ["timeout", "--signal=KILL", "240", compiler, *_FLAGS, str(source), "-o", str(partial), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{source.name} does not compile ({done.returncode}):\n{done.stderr[:4000]}"
    partial.rename(library)
