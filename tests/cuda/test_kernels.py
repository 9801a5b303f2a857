"""The registry of kernels answers as OneFlow's sources say; also a list of what eager code may call on a card."""

import oneflow as flow
import pytest

ROWS, INDEX = flow.ones(6, 4), flow.zeros(2, dtype=flow.int64)


@pytest.mark.parametrize("dtype", [flow.float32, flow.float16])
def test_has_a_kernel(kernel_registry, dtype):
    assert kernel_registry.missing_for(lambda x, i: flow.exp(flow._C.gather(x.to(dtype), i, axis=0)), ROWS, INDEX) == []


def test_a_missing_kernel_is_reported(kernel_registry):
    (reported,) = kernel_registry.missing_for(lambda x: x.to(flow.float16).amax(dim=1), ROWS)
    assert reported == "reduce_max on cuda: input_tensor_0 float16 -> output_tensor_0 float16"
    assert kernel_registry.missing_for(lambda x: x.amax(dim=1), ROWS) == []


def test_a_kernel_of_another_type_does_not_count(kernel_registry):
    assert kernel_registry.missing_for(lambda x: flow.acos(x), ROWS) == []
    (reported,) = kernel_registry.missing_for(lambda x: flow.acos(x.to(flow.int32)), ROWS)
    assert reported.startswith("acos")
