"""flowvision's networks with an output of ours, and what is said of those that do not fit."""

import sys

import numpy as np
import oneflow as flow
import onnxruntime
import pytest

from backbones import get_model
from deploy.onnx_convert import to_onnx
from tests.backbones.tables import shapes
from utils.errors import UserError
from utils.pixels import ImageShape

SMALL = "flowvision(name='mnasnet0_5')"


@pytest.fixture
def installed():
    pytest.importorskip("flowvision", reason="./setup.sh flowvision")


def test_without_flowvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "flowvision.models", None)
    monkeypatch.setitem(sys.modules, "flowvision", None)
    with pytest.raises(UserError, match=r"flowvision cannot be imported .*: install it by ./setup.sh flowvision"):
        get_model(SMALL)


@pytest.mark.usefixtures("installed")
def test_a_network_embeds_and_exports():
    network = get_model(SMALL, 16)
    actual = {name: shape for name, shape in shapes(network).items() if name.startswith("output.")}
    assert actual["output.1.weight"] == (16, 1280) and "network.classifier.1.weight" not in shapes(network)
    images = flow.randn(3, 3, 112, 112)
    loss = network(images).sum()
    loss.backward()
    assert np.isfinite(network.state_dict()["network.layers.0.weight"].grad.numpy()).all()

    wanted = network.eval()(images).numpy()
    session = onnxruntime.InferenceSession(to_onnx(network).SerializeToString(), providers=["CPUExecutionProvider"])
    for size in (1, 3):
        (actual,) = session.run(None, {"input.1": images[:size].numpy()})
        np.testing.assert_allclose(actual, wanted[:size], rtol=0, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.usefixtures("installed")
def test_names_are_the_same_with_dropout():
    assert shapes(get_model(SMALL, 16, dropout=0.4)) == shapes(get_model(SMALL, 16))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ("flowvision(name='mnasnet05')", "flowvision has no network 'mnasnet05', did you mean 'mnasnet0_5'?"),
        ("flowvision(name='squeezenet1_1')", "has no fully connected layer of classes that could be replaced"),
        (
            "flowvision(name='inception_v3')",
            "flowvision's inception_v3 does not end in one fully connected layer of classes",
        ),
    ],
)
def test_what_does_not_fit(network, sentence):
    with pytest.raises(UserError) as error:
        get_model(network)
    assert sentence in str(error.value)


@pytest.mark.usefixtures("installed")
def test_images_that_do_not_fit():
    with pytest.raises(UserError, match="flowvision's mnasnet0_5 does not take images of 1 x 112 x 112: "):
        get_model(SMALL, image=ImageShape(112, 112, 1))
