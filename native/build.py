"""Compiles the kernels for OneFlow on a CPU. ./setup.sh calls it; by hand:

    python -m native.build

Needs g++ (CXX names another compiler). The library goes to native/build/; what is there already for the same sources,
flags and packages is kept. Nothing here is required: without the library, runs use OneFlow's own kernels.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__":  # also as a script, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from native.paths import (
    FLAGS,
    FLAGS_OF_KERNELS,
    FLAGS_OF_LOOPS,
    LOOPS,
    SOURCES,
    Packages,
    failure_path,
    find_packages,
    library_path,
)
from utils.errors import UserError

_SECONDS = 600  # for one compilation
_HOW = "install g++ 9 or newer (apt-get install g++) and run ./setup.sh"
# Of OneFlow's headers; the folder that holds them also holds those of an old C library, which must stay unseen.
_HEADERS = ("oneflow", "absl", "google", "llvm", "llvm-c", "half.hpp")
_WITHOUT_ONEFLOW = {"primitives.cpp"}


def build(compiler: str, packages: Packages, library: Path) -> None:
    """Makes `library`, or nothing. Raises UserError if the compiler is missing or fails."""
    if shutil.which(compiler) is None:
        raise UserError(f"there is no C++ compiler ({compiler}): {_HOW}")
    with tempfile.TemporaryDirectory(dir=library.parent, prefix="new.") as scratch:
        folder = Path(scratch)
        _link_headers(folder, packages.oneflow / "include")
        own = [f"-I{path}" for path in (SOURCES, folder / "include", folder / "glog", packages.headers)]
        # One unit for all files with OneFlow's headers, which take longer to read than the rest to compile.
        unit = folder / "kernels.cpp"
        names = sorted(path.name for path in SOURCES.glob("*.cpp") if path.name not in _WITHOUT_ONEFLOW)
        unit.write_text("".join(f'#include "{name}"\n' for name in names))
        units = [(unit, (*FLAGS_OF_KERNELS, *own)), (SOURCES / "primitives.cpp", (*FLAGS_OF_KERNELS, *own))]
        # AVX2 before AVX-512: of a template that both instantiate, and do not inline, the linker keeps the first.
        for cpu, more in LOOPS.items():
            flags = (*FLAGS_OF_LOOPS, *more, f"-DNATIVE_CPU={cpu}")
            units += [(path, flags) for path in sorted(SOURCES.glob("loops/*.cpp"))]
        objects = [folder / f"{number}.o" for number in range(len(units))]
        commands = [
            [compiler, *FLAGS, *flags, "-c", str(source), "-o", str(result)]
            for (source, flags), result in zip(units, objects, strict=True)
        ]
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(_run, commands))
        made = folder / "kernels.so"
        linked = [str(path) for path in (*objects, *packages.libraries, packages.onednn)]
        _run([compiler, "-shared", "-fopenmp", *linked, "-o", str(made), "-Wl,--allow-shlib-undefined"])
        os.replace(made, library)  # in one step: a rank that starts now finds all of it or none


def _link_headers(folder: Path, include: Path) -> None:
    (folder / "include").mkdir()
    for name in _HEADERS:
        (folder / "include" / name).symlink_to(include / name)
    (folder / "glog/glog").mkdir(parents=True)
    for path in (include / "glog-build/glog").glob("*.h"):
        (folder / "glog/glog" / path.name).symlink_to(path)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} did not end within {_SECONDS} seconds") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["without a word"]
        raise UserError(f"{command[0]} failed ({errors[0].strip()}): {_HOW}")


def ensure_built(compiler: str) -> str:
    """Builds the library if it is not there; of several at once one builds and the others wait. Returns a sentence for
    the log, or "" if there was nothing to do.
    """
    library = library_path(packages := find_packages())
    if library.exists():
        return ""
    library.parent.mkdir(parents=True, exist_ok=True)
    with open(library.parent.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if library.exists():
            return ""
        failure, tried = failure_path(library), _identity(compiler)
        if failure.exists() and failure.read_text().splitlines()[1:] == [tried]:
            return ""  # nothing has changed since it failed, and was said
        try:
            build(compiler, packages, library)
        except UserError as error:
            failure.write_text(f"{error}\n{tried}\n")
            raise
        failure.unlink(missing_ok=True)
    return "Built the CPU kernels of native/."


def _identity(compiler: str) -> str:
    """Differs if another compiler is installed."""
    path = shutil.which(compiler)
    return f"{path} {os.stat(path).st_mtime_ns}" if path else f"no {compiler}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    try:
        if sentence := ensure_built(os.environ.get("CXX", "g++")):
            print(sentence, file=sys.stderr)
    except (UserError, OSError) as error:
        with contextlib.suppress(BrokenPipeError):
            print(f"Goes on without the CPU kernels of native/, which make training quicker: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
