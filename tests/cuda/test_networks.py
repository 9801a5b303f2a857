"""Whole networks as OneFlow compiles their steps for two cards under AMP: half precision, and memory over time."""

import math

import pytest
from oneflow.core.job.job_pb2 import Job

from tests.cuda.network_worker import BATCH, CASES, DEPTH, HEADS, KEPT_TOKENS, TOKENS
from tests.layout.job import read_operators
from tests.layout.lifetimes import most_rows
from tests.ranks import run_ranks


@pytest.fixture(scope="module")
def job(cuda_libraries, tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    run_ranks(2, "tests/cuda/network_worker.py", str(folder), environment={"LD_PRELOAD": str(cuda_libraries[0])})

    def read(case: str) -> Job:
        actual = Job()
        actual.ParseFromString((folder / f"{case}.job").read_bytes())
        return actual

    return read


@pytest.mark.parametrize(("case", "tokens"), [("vit", TOKENS), ("vit-masked", KEPT_TOKENS), ("vit-again", TOKENS)])
def test_attention_is_half_precision(job, case, tokens):
    """Of each block: products, softmax, and their gradients; the first two again if they are computed again."""
    ends = [end for op in read_operators(job(case)) for end in op.outputs]
    squares = [(end.dtype, end.sbp) for end in ends if end.shape == (BATCH, HEADS, tokens, tokens)]
    assert squares == [("float16", "S0")] * DEPTH * (6 if case == "vit-again" else 4)


@pytest.mark.parametrize("case", CASES)
def test_every_operator_has_a_kernel(job, kernel_registry, case):
    assert kernel_registry.missing(job(case)) == []


@pytest.mark.parametrize("case", ["resnet-nhwc", "resnet_v2-nhwc"])
def test_channels_last_stay_half_precision(job, case):
    """Beside the synchronized BatchNorms too, no convolution takes float32, and nothing turns the layout of images."""
    operators = read_operators(job(case))
    convolutions = [op for op in operators if op.kind == "conv2d"]
    assert {end.dtype for op in convolutions for end in (*op.inputs, *op.outputs)} == {"float16"}
    turned = [op.inputs[0].shape for op in operators if op.kind == "transpose" and op.inputs[0].shape[0] == BATCH]
    assert all(math.prod(shape) == BATCH * max(shape) for shape in turned)  # of one place


@pytest.mark.parametrize("network", ["vit", "r50"])
def test_activations_that_are_computed_again_take_less_memory(job, network):
    assert most_rows(job(f"{network}-again")) < 0.6 * most_rows(job(network))
