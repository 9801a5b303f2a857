"""What networks cost: counted from shapes, against hooks on modules that run, and the papers' own figures."""

import math

import numpy as np
import oneflow as flow
import pytest
from oneflow import nn

from backbones import get_model
from backbones.registry import Sizes
from backbones.without_values import without_values
from planning.networks import Cost, _macs, count, measure_export
from utils.pixels import ImageShape

# Multiply-accumulates at 224 x 224, in millions; the classes' are a few of them.
PAPERS = {
    "mobilenet": 569,
    "mobilenet_v2": 300,
    "mobilenet_v3_large": 219,
    "mobilenet_v3_small": 56,
    "efficientnet_b0": 390,
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_figures(name):
    assert count(name, Sizes(512, ImageShape(224, 224))).macs / 1e6 == pytest.approx(PAPERS[name], rel=0.025)


@pytest.mark.parametrize("network", ["ghostnet(width=0.25)", "mobilenet(output='e')", "mbf_tiny"])
def test_modules_that_run_multiply_as_often(network):
    counted = []

    def add(module, _, out):
        counted.append(out.numel() * math.prod(module.weight.shape[1:]))

    model = get_model(network, 32, image=ImageShape(64, 48, 1)).eval()
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(add)
    model(flow.zeros(1, 1, 64, 48))
    cost = count(network, Sizes(32, ImageShape(64, 48, 1)))
    assert cost == Cost(network, sum(parameter.numel() for parameter in model.parameters()), sum(counted))


class _Attention(nn.Module):
    def forward(self, x):
        """(B, 3, T, D)"""
        scores = flow.matmul(x, x.transpose(2, 3))
        return flow.matmul(scores, x).sum(dim=1) + flow.einsum("bctd,bcte->bde", x, x).sum(dim=1, keepdim=True)


def test_products_of_matrices():
    assert _macs(_Attention(), flow.zeros(1, 3, 5, 7)) == 3 * 5 * 5 * 7 * 2 + 7 * 7 * 15


def test_values_are_drawn_again_afterwards():
    with pytest.raises(ZeroDivisionError), without_values():
        1 / 0  # noqa: B018
    assert np.std(nn.Linear(64, 64).weight.numpy()) > 0.01


def test_an_export_is_as_large_as_its_parameters():
    cost = measure_export(count("mobilenet_v3_small(width=0.25)", Sizes(16)), 16, timed=True)
    assert 4 * cost.parameters * 0.9 < cost.onnx_bytes < 4 * cost.parameters + 100_000
    assert 0 < cost.cpu_ms < 1e5
