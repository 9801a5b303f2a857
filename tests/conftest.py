"""What the tests of several folders share."""

import pytest

from tests.cuda.compiling import compile_libraries


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
