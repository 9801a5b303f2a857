"""The CPU's convolutions against OneFlow's own, outputs and all gradients, eager and compiled, local and global."""

import numpy as np
import oneflow as flow
import pytest
from oneflow import nn

from backbones import get_model
from backbones.cpu_kernels import use_cpu_kernels
from tests.ranks import run_ranks

CASES = {
    "3x3": ((6, 10, 3, 1, 1), (3, 6, 7, 5)),
    "3x3, square": ((8, 8, 3, 1, 1), (2, 8, 14, 14)),
    "depthwise": ((6, 6, 3, 1, 1, 1, 6), (3, 6, 7, 7)),
    "two a group": ((8, 12, 3, 1, 1, 1, 4), (2, 8, 5, 6)),
    "one pixel": ((4, 4, 3, 1, 1), (2, 4, 1, 1)),
    "1x1": ((6, 10, 1), (3, 6, 7, 5)),
}


class _Sum(nn.Module):
    """(x, dy) -> sum(conv(x) * dy), whose gradients are those for dy."""

    def __init__(self, conv, x):
        super().__init__()
        self.conv, self.x = conv, nn.Parameter(x)

    def forward(self, dy):
        return (self.conv(self.x) * dy).sum()


def _gradients_of_a_graph(module, dy):
    """By a step of size 1, which a graph can make."""
    before = [parameter.numpy().copy() for parameter in module.parameters()]
    optimizer = flow.optim.SGD(module.parameters(), lr=1.0)

    class Step(nn.Graph):
        def __init__(self):
            super().__init__()
            self.module = module
            self.add_optimizer(optimizer)

        def build(self, dy):
            loss = self.module(dy)
            loss.backward()
            return loss

    loss = Step()(dy).numpy()
    return [loss, *(b - p.numpy() for b, p in zip(before, module.parameters(), strict=True))]


def _gradients_eager(module, dy):
    loss = module(dy)
    loss.backward()
    return [loss.numpy(), *(parameter.grad.numpy() for parameter in module.parameters())]


@pytest.mark.parametrize("how", [_gradients_eager, _gradients_of_a_graph])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("is_global", [False, True])
def test_outputs_and_gradients_are_the_plain_ones(name, how, is_global):
    settings, shape = CASES[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32)
    dy = rng.normal(size=(shape[0], settings[1], *shape[2:])).astype(np.float32)
    flow.manual_seed(0)
    weight = None
    found = []
    for fast in (False, True):
        conv = nn.Conv2d(*settings, bias=False)
        if weight is None:
            weight = conv.weight.numpy().copy()
        conv.weight.data.copy_(flow.tensor(weight))
        assert use_cpu_kernels(conv if fast else nn.Identity()) == fast
        assert list(conv.state_dict()) == ["weight"]
        module, gradient = _Sum(conv, flow.tensor(x)), flow.tensor(dy)
        if is_global:
            place = {"placement": flow.placement("cpu", [0]), "sbp": flow.sbp.broadcast}
            module, gradient = module.to_global(**place), gradient.to_global(**place)
        found.append(how(module, gradient))
    for plain, fast in zip(*found, strict=True):
        # The sum of all outputs may be small beside them.
        np.testing.assert_allclose(fast, plain, rtol=0, atol=3e-6 * max(np.abs(plain).max(), 1.0))


@pytest.mark.parametrize(("name", "count"), [("r18", 13), ("mbf", 44), ("mbf_tiny", 0)])
def test_a_network_keeps_its_parameters_outputs_and_gradients(name, count):
    flow.manual_seed(0)
    model = get_model(name, 32).eval()  # BatchNorm over a small batch would magnify what rounding leaves
    images, dy = flow.randn(2, 3, 112, 112), flow.randn(2, 32)
    names = list(model.state_dict())

    def run():
        for parameter in model.parameters():
            parameter.grad = None
        out = model(images)
        (out * dy).sum().backward()
        return [out.numpy(), *(p.grad.numpy() for p in model.parameters() if p.requires_grad)]

    plain = run()
    assert use_cpu_kernels(model) == count
    assert list(model.state_dict()) == names
    for expected, found in zip(plain, run(), strict=True):
        assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


def test_without_gradients():
    model = get_model("mbf", 32).eval()
    images = flow.randn(2, 3, 112, 112)
    with flow.no_grad():
        plain = model(images).numpy()
        use_cpu_kernels(model)
        np.testing.assert_allclose(model(images).numpy(), plain, rtol=1e-4, atol=1e-5)


def test_a_step_on_several_ranks_is_the_plain_one():
    printed = run_ranks(2, "tests/backbones/cpu_kernels_worker.py")
    difference = float(next(line for line in printed.splitlines() if line.startswith("difference")).split()[1])
    assert difference < 2e-4
