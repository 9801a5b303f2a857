"""What holds for every registered network: it trains eagerly and compiled alike, exports, and takes other images."""

import numpy as np
import oneflow as flow
import onnxruntime
import pytest
from oneflow import nn

from backbones import list_models
from deploy.onnx_convert import to_onnx
from tests.backbones.small import EMBEDDING, NAMES, small
from tests.own_process import run_tests
from utils.pixels import ImageShape

# Of the same blocks: more or wider ones, larger maps, or without the attention. They are counted, by name.
ALIKE = {
    "efficientnet_b0": [*(f"efficientnet_b{number}" for number in range(1, 8)), "efficientnet_l2"],
    "mbf": ["mbf_large"],
    "mobilenet": ["mobilenet_m1"],
    "mobilenet_v3_small": ["mobilenet_v3_large"],
    "se_mobilefacenet": ["mobilefacenet"],
    "r18": ["r34", "r50", "r100", "r101", "r200"],
    "resnest50": ["resnest101"],
    "resnet50": ["resnet101", "resnet152"],
    "resnet50_v2": ["resnet101_v2", "resnet152_v2"],
    "se_resnext50": ["se_resnext101"],
    "vit_t": [
        *("vit_s", "vit_b", "vit_l", "vit_h"),
        *("vit_t_dp005_mask0", "vit_s_dp005_mask_0", "vit_b_dp005_mask_005", "vit_l_dp005_mask_005"),
    ],
}
ELSEWHERE = ["flowvision"]  # its networks are others': tests/backbones/test_flowvision_networks.py
BATCH = 4
_EXPORTED = ("mbf", "mbf_tiny", "r18")  # by tests/deploy/test_export.py


def test_none_is_missing():
    alike = [name for names in ALIKE.values() for name in names]
    assert sorted([*NAMES, *alike, *ELSEWHERE]) == list_models()
    assert ALIKE.keys() <= set(NAMES)


def test_all_that_trains_has_a_gradient_eager_and_compiled():
    run_tests("tests/backbones/every_gradient.py")


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(_EXPORTED)))
def test_onnx_runtime_agrees(name):
    network = small(name).train()
    images = flow.randn(BATCH, 3, 112, 112)
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms[:-1]:  # the output's, over so few embeddings, would only blow up what rounding leaves
        norm.momentum = 1.0  # with statistics of 0 and 1 deep networks explode
    with flow.no_grad():
        network(images)
        expected = network.eval()(images).numpy()
    session = onnxruntime.InferenceSession(to_onnx(network).SerializeToString(), providers=["CPUExecutionProvider"])
    for size in (1, BATCH):
        (actual,) = session.run(None, {session.get_inputs()[0].name: images[:size].numpy()})
        np.testing.assert_allclose(actual, expected[:size], rtol=0, atol=5e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_other_sizes(name):
    images = flow.randn(2, 1, 96, 120)
    assert small(name, image=ImageShape(96, 120, 1))(images).shape == (2, EMBEDDING)
