"""The registry of kernels answers as OneFlow's sources say; also a list of what eager code may call on a card."""

import oneflow as flow
import pytest

from backbones.channels_last import use_channels_last
from backbones.pixels import Pixels
from backbones.synchronized import synchronize_batch_norm
from heads.stores.device_rounding import round_randomly
from optim import list_optimizers, make_optimizer
from tests.backbones.test_channels_last import NETWORKS, network_of
from tests.layout.job import read_operators

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


@pytest.mark.parametrize("dtype", [flow.float16, flow.bfloat16])
def test_the_half_store_of_a_card_has_its_kernels(kernel_registry, dtype):
    """What `DeviceRows` calls there: reading, rounding and writing rows by index and by slice."""

    def step(rows, index):
        stored = rows.to(dtype)
        taken, part = flow._C.gather(stored, index, axis=0).to(flow.float32), stored[1:3].to(flow.float32)
        inverse = 1.0 / taken.norm(dim=1, keepdim=True).clamp(min=1e-12)
        rounded = round_randomly(taken * inverse, dtype, flow.rand(2, 4))
        return flow._C.tensor_scatter_nd_update(stored, index.unsqueeze(1), rounded), part

    assert kernel_registry.missing_for(step, ROWS, INDEX) == []


@pytest.mark.parametrize("dtype", [flow.float32, flow.float16])
def test_the_gradient_of_centers_has_its_kernels(kernel_registry, dtype):
    def gradient(slopes, directions):
        return flow.matmul(slopes.to(dtype)[:, 1:3], directions.to(dtype), transpose_a=True).to(flow.float32)

    assert kernel_registry.missing_for(gradient, ROWS, ROWS) == []


@pytest.mark.parametrize("name", list_optimizers())
def test_optimizers_of_rows_have_their_kernels(kernel_registry, name):
    optimizer = make_optimizer(name)
    if not optimizer.row_wise:
        return

    def step(w, gradient):
        return optimizer.update(w * 1.0, tuple(w * 0.0 for _ in optimizer.slots), gradient, 0.1, 3)[0]

    assert kernel_registry.missing_for(step, ROWS, ROWS) == []


def test_bytes_become_numbers_on_a_card(kernel_registry):
    images, mirrored = flow.zeros(2, 8, 8, 3, dtype=flow.uint8), flow.zeros(2, dtype=flow.int8)
    assert kernel_registry.missing_for(Pixels(), images, mirrored) == []


class Training(flow.nn.Graph):
    def __init__(self, network):
        super().__init__()
        self.pixels, self.network = Pixels(data_format="NHWC"), network
        self.add_optimizer(flow.optim.SGD(network.parameters(), lr=0.1))

    def build(self, images):
        loss = self.network(self.pixels(images)).sum()
        loss.backward()
        return loss


@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_with_channels_last_have_kernels_on_a_card(kernel_registry, name, synchronized):
    network = network_of(name)
    use_channels_last(network, name)
    if synchronized:
        synchronize_batch_norm(network)
    graph = Training(network)
    graph.build_graph(flow.zeros(2, 48, 64, 3, dtype=flow.uint8))
    kinds = [op.kind for op in read_operators(graph._full_graph_proto)]
    assert kinds.count("conv_filter_grad") == sum(
        isinstance(module, flow.nn.Conv2d) and module.groups == 1 for module in network.modules()
    )
    assert kernel_registry.missing(graph._full_graph_proto, "cuda") == []
