"""ONNX models of known networks: layers find their names by their order."""

import numpy as np
import onnx
import pytest

from deploy.embedder import load_backbone_embedder
from deploy.importing.run import Choices, import_weights
from deploy.input_format import OWN
from deploy.onnx_convert import to_onnx
from deploy.onnx_embedder import OnnxEmbedder
from deploy.weights import load_backbone
from tests.deploy.importing.iresnet_onnx import Export
from tests.deploy.models import make_model
from utils.errors import UserError


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """Of an r18 that knows faces."""
    return load_backbone(make_model(tmp_path_factory.mktemp("r18"), "r18", 16))[0]


def refusal(path, **choices) -> str:
    with pytest.raises(UserError) as refused:
        import_weights(path, Choices(**choices), "python")
    return str(refused.value)


@pytest.mark.parametrize("folded", [False, True])
def test_models_of_others_become_weights(state, tmp_path, folded):
    """Embeddings are compared by the import itself, on drawn faces."""
    onnx.save(Export(state, folded).model(), tmp_path / "m.onnx")
    imported = import_weights(tmp_path / "m.onnx", Choices(), "python")
    assert (imported.network, imported.embedding_size, imported.input) == ("r18", 16, OWN)
    assert "first steps" in imported.said[0] and "compared on four faces" in imported.said[-1]
    convolutions = [name for name, array in state.items() if array.ndim == 4]
    assert len(imported.made_up) == (len(convolutions) if folded else 0)
    if not folded:
        assert imported.state.keys() == state.keys()
        same = [name for name in state if np.array_equal(imported.state[name], state[name])]
        assert {name for name in state if name.endswith((".bias", "conv2.weight", "prelu.weight"))} <= set(same)


def test_our_own_exports_come_back(tmp_path):
    """With BatchNorms folded into convolutions and the linear layer, which has no bias in a MobileFaceNet."""
    embedder = load_backbone_embedder(make_model(tmp_path / "mbf", "mbf", 16))
    (tmp_path / "mbf.onnx").write_bytes(to_onnx(embedder.network).SerializeToString())
    imported = import_weights(tmp_path / "mbf.onnx", Choices(), "python")
    assert imported.network == "mbf" and "features.layers.3" in imported.made_up


def test_the_same_layers_in_another_network_are_refused(state, tmp_path):
    onnx.save(Export(state, strides=(2, 2, 2, 2), folded=True).model(), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    pads = next(attribute for attribute in first.attribute if attribute.name == "pads")
    pads.ints[:] = [0, 0, 2, 2]  # the image moves by a pixel
    onnx.save(model, tmp_path / "m.onnx")
    assert "has the layers of r18 but is another network: embeddings" in refusal(tmp_path / "m.onnx")


def test_other_networks_and_options_are_refused(state, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(Export(state, act="Sigmoid").model(), path)
    assert "Sigmoid 104 is in none of the networks" in refusal(path)
    onnx.save(Export({**state, "conv1.weight": state["conv1.weight"]}).model(), path)
    assert "the nearest is r34, up to layer" in refusal(path, network="r34")
    assert "say nothing in an ONNX model" in refusal(path, layout="mxnet")
    fewer = {name: array for name, array in state.items() if not name.startswith("layer3.1.")}
    onnx.save(Export(fewer).model(), path)
    assert "those of none of the networks that are known by order; the nearest is r18, up to layer" in refusal(path)
    assert OnnxEmbedder(path).embedding_size == 16, "which runs as it is all the same"
