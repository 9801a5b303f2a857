"""What the tests of several folders share."""

from pathlib import Path

import pytest

from tests.cuda.compiling import compile_libraries

# What a file has in it whose tests start processes, or have something compiled: ranks, programs, Spark, a shim.
_SLOW = (
    *("run_ranks", "subprocess", "two_nodes", "written_jobs", "kernel_registry", "spark", "planner("),
    *("measure(", "make_model", "pool", "own_process", "native.results"),
)
# Folders whose tests train, draw, detect and convert, which takes its time.
_WORKSHOP = ("deploy", "end_to_end", "evaluation", "planning", "preparation", "recognition", "tools")


def pytest_collection_modifyitems(items):
    """Marks the tests of files that start no processes, for `./test.sh -m fast`, which answers within a minute."""
    texts = {path: path.read_text() for path in {Path(item.path) for item in items}}
    for item in items:
        apart = any(f"tests/{folder}/" in str(item.path) for folder in _WORKSHOP)
        if not apart and not any(word in texts[Path(item.path)] for word in _SLOW):
            item.add_marker("fast")


@pytest.fixture(scope="session")
def cuda_libraries(tmp_path_factory):
    """The libraries of tests/cuda: that of cards.cpp and that of kernel_registry.cpp."""
    folder = tmp_path_factory.getbasetemp()
    if folder.name.startswith("popen-gw"):  # of one worker of pytest-xdist; the one above is all workers'
        folder = folder.parent
    return compile_libraries(folder / "cuda_libraries")


@pytest.fixture(scope="session")
def kernel_registry(cuda_libraries):
    """Answers which operators have a kernel on CUDA."""
    from tests.cuda.kernels import KernelRegistry  # imports OneFlow, which only these tests need

    return KernelRegistry(cuda_libraries[1])
