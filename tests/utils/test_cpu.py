"""Which BLAS and which of its kernels OneFlow gets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ranks import ROOT
from utils.cpu import choose_blas_kernels

AVX512 = "avx2 fma avx512f avx512cd avx512bw avx512dq avx512vl"


@pytest.fixture
def choose(tmp_path):
    """Chooses on a CPU with these flags, without scipy."""

    def run(environ, flags):
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text(f"processor : 0\nflags : {flags}\n")
        return choose_blas_kernels(environ, cpuinfo, tmp_path / "no scipy")

    return run


@pytest.mark.parametrize(
    ("environ", "flags", "chosen"),
    [
        ({}, "fpu sse avx avx2 fma", "Haswell"),
        ({}, AVX512, "Haswell"),  # OneFlow's own has no others
        ({}, "fpu sse avx", None),
        ({"OPENBLAS_CORETYPE": "Zen"}, "avx2 fma", "Zen"),
    ],
)
def test_kernels_follow_the_cpu_unless_the_user_chose(choose, environ, flags, chosen):
    said = choose(environ, flags)
    assert environ.get("OPENBLAS_CORETYPE") == chosen
    assert said == "OneFlow's OpenBLAS" + (f", {chosen} kernels" if chosen else "")


def test_no_cpuinfo(tmp_path):
    environ = {}
    assert choose_blas_kernels(environ, tmp_path / "none") == "OneFlow's OpenBLAS"
    assert environ == {}


def test_libraries_that_cannot_be_loaded(tmp_path):
    for name in ("libquadmath-0.so", "libgfortran-0.so.5", "libopenblasp-0.so"):
        (tmp_path / name).write_text("no library")
    (tmp_path / "cpuinfo").write_text(f"flags : {AVX512}\n")
    environ = {}
    said = choose_blas_kernels(environ, tmp_path / "cpuinfo", tmp_path)
    assert said.startswith("OneFlow's OpenBLAS")


WHICH = """
import os
from utils.cpu import choose_blas_kernels
print(choose_blas_kernels(os.environ))
import oneflow as flow
assert (flow.matmul(flow.ones(8, 8), flow.ones(8, 8)).numpy() == 8).all()
names = [line.split()[-1] for line in open("/proc/self/maps") if "libopenblasp" in line]
print(any("scipy.libs" in name for name in names))
"""


def test_oneflow_takes_the_library_of_the_installed_scipy():
    if "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("no AVX2 here")
    clean = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    done = subprocess.run([sys.executable, "-c", WHICH], env=clean, capture_output=True, text=True, check=True)
    said, mapped = done.stdout.splitlines()
    assert said.startswith("scipy's OpenBLAS, ")
    assert mapped == "True"


def test_after_oneflow_nothing_is_loaded():
    """Both would then get some of its calls."""
    program = "import sys; import oneflow; from utils.cpu import choose_blas_kernels; print(choose_blas_kernels({}))\n"
    program += "print('libopenblasp' in open('/proc/self/maps').read())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split("\n")[0].startswith("OneFlow's OpenBLAS") and done.stdout.split()[-1] == "False"
