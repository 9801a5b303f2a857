"""The test of test_every_network.py that runs compiled steps, in a process of its own."""

import numpy as np
import oneflow as flow
import pytest
from oneflow import nn

from tests.backbones.small import EMBEDDING, NAMES, short
from utils.pixels import ImageShape

BATCH = 4
_WITHOUT_EFFECT = ".conv2.fc1.bias"  # of ResNeSt: BatchNorm takes it away again, so that its gradient is rounding


class _Step(nn.Graph):
    """SGD of rate 1, so that parameters lose their gradients."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.add_optimizer(flow.optim.SGD(network.parameters(), lr=1.0))

    def build(self, images, dy):
        loss = (self.network(images) * dy).sum()
        loss.backward()
        return loss


@pytest.mark.parametrize("name", NAMES)
def test_all_that_trains_has_a_gradient_eager_and_compiled(name):
    network = short(name, ImageShape(64, 64)).train()
    state = {key: value.numpy().copy() for key, value in network.state_dict().items()}
    images, dy = flow.randn(BATCH, 3, 64, 64), flow.randn(BATCH, EMBEDDING)
    loss = (network(images) * dy).sum()
    loss.backward()
    trained = {key: value for key, value in network.named_parameters() if value.requires_grad}
    gradients = {key: value.grad.numpy().copy() for key, value in trained.items()}
    for parameter in trained.values():
        parameter.grad = None  # or a graph would add to it, and not train the parameter
    for key, gradient in gradients.items():
        assert np.isfinite(gradient).all(), key
        assert np.linalg.norm(gradient) > 1e-7 * np.linalg.norm(state[key]), key

    network.load_state_dict({key: flow.tensor(value.copy()) for key, value in state.items()})
    found = _Step(network)(images, dy).numpy()
    np.testing.assert_allclose(found, loss.numpy(), atol=1e-3)
    worst = {}
    for key, gradient in gradients.items():
        moved = state[key] - trained[key].numpy()
        lost = 1e-6 * np.linalg.norm(state[key])  # by subtraction
        if not key.endswith(_WITHOUT_EFFECT):
            worst[key] = (np.linalg.norm(moved - gradient) - lost) / np.linalg.norm(gradient)
    assert max(worst.values()) < 1e-2, max(worst, key=worst.get)
