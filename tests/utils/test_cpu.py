import pytest

from utils.cpu import choose_blas_kernels


@pytest.mark.parametrize(
    ("environ", "flags", "chosen"),
    [
        ({}, "fpu sse avx avx2 fma", "Haswell"),
        ({}, "fpu sse avx", None),
        ({"OPENBLAS_CORETYPE": "Zen"}, "avx2 fma", "Zen"),
    ],
)
def test_kernels_follow_the_cpu_unless_the_user_chose(tmp_path, environ, flags, chosen):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags : {flags}\n")
    choose_blas_kernels(environ, cpuinfo)
    assert environ.get("OPENBLAS_CORETYPE") == chosen


def test_no_cpuinfo(tmp_path):
    environ = {}
    choose_blas_kernels(environ, tmp_path / "none")
    assert environ == {}
