"""Networks on (B, H, W, C). OneFlow's CPU kernels are wrong in that layout (convolutions) or refuse it (BatchNorm), so
here the two operators are computed through the other layout, and the registry of kernels says that cards have them.
"""

from functools import partial

import numpy as np
import oneflow as flow
import pytest

from backbones.channels_last import use_channels_last
from backbones.iresnet import iresnet
from backbones.pixels import Pixels
from backbones.registry import Sizes
from backbones.resnet import resnet
from backbones.resnet_v2 import resnet_v2
from backbones.synchronized import synchronize_batch_norm
from backbones.tiny import mbf_tiny
from utils.errors import UserError
from utils.pixels import ImageShape

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), np.uint8)


@pytest.fixture
def channels_first_kernels(monkeypatch):
    conv2d, normalization = flow._C.conv2d, flow._C.normalization
    seen = {"conv2d": 0, "normalization": 0}

    def turned_conv2d(x, weight, *rest, channel_pos, **named):
        if channel_pos == "channels_first":
            return conv2d(x, weight, *rest, channel_pos=channel_pos, **named)
        seen["conv2d"] += 1
        y = conv2d(x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), *rest, channel_pos="channels_first", **named)
        return y.permute(0, 2, 3, 1)

    def turned_normalization(x, *rest, axis, **named):
        if axis == 1:
            return normalization(x, *rest, axis=axis, **named)
        seen["normalization"] += 1
        assert axis == 3
        return normalization(x.permute(0, 3, 1, 2), *rest, axis=1, **named).permute(0, 2, 3, 1)

    monkeypatch.setattr(flow._C, "conv2d", turned_conv2d)
    monkeypatch.setattr(flow._C, "normalization", turned_normalization)
    return seen


def results(network, pixels) -> dict[str, np.ndarray]:
    """The embeddings of a batch and all gradients of a loss on them, running statistics too."""
    embeddings = network(pixels(flow.tensor(IMAGES)))
    weights = np.random.default_rng(1).normal(size=embeddings.shape).astype(np.float32)
    (embeddings * flow.tensor(weights)).sum().backward()
    actual = {f"grad.{name}": p.grad.numpy() for name, p in network.named_parameters() if p.grad is not None}
    return actual | {"embeddings": embeddings.numpy()} | {n: t.numpy() for n, t in network.state_dict().items()}


_SHALLOW = {"blocks": (1, 1, 1, 1), "width": 0.125}
NETWORKS = {
    "iresnet": partial(iresnet, stages=(1, 1, 1, 1)),
    "mbf_tiny": mbf_tiny,
    "resnet": partial(resnet, **_SHALLOW, stem="face", activation="prelu"),
    "resnet-pooled": partial(resnet, **_SHALLOW, output="gap", pointwise=True),
    "resnet_v2": partial(resnet_v2, **_SHALLOW, stem="face", output="e", activation="swish"),
}


def network_of(name):
    flow.manual_seed(0)
    return NETWORKS[name](Sizes(16, ImageShape(48, 64)), 0.0).train()


@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_numbers(channels_first_kernels, name, synchronized):
    plain, turned = (network_of(name) for _ in range(2))
    turned.load_state_dict(plain.state_dict())
    use_channels_last(turned, name)
    if synchronized:
        synchronize_batch_norm(turned)
    expected = results(plain, Pixels())
    assert channels_first_kernels == {"conv2d": 0, "normalization": 0}
    got = results(turned, Pixels(data_format="NHWC"))
    modules = list(plain.modules())
    assert channels_first_kernels == {
        "conv2d": sum(type(module) is flow.nn.Conv2d for module in modules),
        "normalization": 0 if synchronized else sum(isinstance(module, flow.nn.BatchNorm2d) for module in modules),
    }
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(got[key], value, atol=2e-4 * max(1, np.abs(value).max()), err_msg=key)


def test_a_network_that_looks_at_axes_is_refused():
    class Mean(flow.nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3))

    with pytest.raises(UserError, match='"NHWC" is not possible with odd, whose Mean needs NCHW'):
        use_channels_last(flow.nn.Sequential(flow.nn.ReLU(), Mean()), "odd")


def test_grouped_convolutions_are_refused():
    with pytest.raises(UserError, match="not possible with odd, which has grouped convolutions"):
        use_channels_last(flow.nn.Sequential(flow.nn.Conv2d(4, 4, 3, groups=4)), "odd")
