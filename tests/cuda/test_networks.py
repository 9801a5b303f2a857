"""Whole networks as OneFlow compiles their steps for two cards under AMP: half precision, and memory over time."""

import pytest
from oneflow.core.job.job_pb2 import Job

from tests.cuda.network_worker import BATCH, DEPTH, HEADS, KEPT_TOKENS, TOKENS
from tests.layout.job import read_operators
from tests.layout.lifetimes import most_rows
from tests.ranks import run_ranks


@pytest.fixture(scope="module")
def job(cuda_libraries, tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    run_ranks(2, "tests/cuda/network_worker.py", str(folder), environment={"LD_PRELOAD": str(cuda_libraries[0])})

    def read(case: str) -> Job:
        found = Job()
        found.ParseFromString((folder / f"{case}.job").read_bytes())
        return found

    return read


@pytest.mark.parametrize(("case", "tokens"), [("vit", TOKENS), ("vit-masked", KEPT_TOKENS), ("vit-again", TOKENS)])
def test_attention_is_half_precision(job, case, tokens):
    """Of each block: products, softmax, and their gradients; the first two again if they are computed again."""
    ends = [end for op in read_operators(job(case)) for end in op.outputs]
    squares = [(end.dtype, end.sbp) for end in ends if end.shape == (BATCH, HEADS, tokens, tokens)]
    assert squares == [("float16", "S0")] * DEPTH * (6 if case == "vit-again" else 4)


@pytest.mark.parametrize("case", ["vit", "vit-masked", "vit-again", "r50", "r50-again"])
def test_every_operator_has_a_kernel(job, kernel_registry, case):
    assert kernel_registry.missing(job(case)) == []


@pytest.mark.parametrize("network", ["vit", "r50"])
def test_activations_that_are_computed_again_take_less_memory(job, network):
    assert most_rows(job(f"{network}-again")) < 0.6 * most_rows(job(network))
