"""Networks of InsightFace's MXNet ArcFace, against MXNet itself."""

import mxnet as mx
import numpy as np
import pytest

from deploy.embedder import load_embedder
from deploy.importing.mxnet_names import from_mxnet
from deploy.importing.read import MXNET, read_named
from deploy.importing.run import Choices, import_weights
from deploy.input_format import OWN
from deploy.weights import save_backbone
from tests.deploy.importing import mxnet_peer
from utils.errors import UserError

FACES = np.random.default_rng(1).integers(0, 256, (2, 14, 14, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """(the file, what MXNet gives for FACES)."""
    path = tmp_path_factory.mktemp("mxnet") / "model-0000.params"
    return path, mxnet_peer.write(path, FACES, 32)


def test_embeddings_are_mxnets(peer, tmp_path):
    path, wanted = peer
    imported = import_weights(path, Choices(), "python")
    assert (imported.network, imported.embedding_size, imported.input, imported.made_up) == ("r18", 32, OWN, [])
    said = "\n".join(imported.said)
    assert "scaled by 0.996" in said and "variances" in said
    save_backbone(tmp_path, imported.state, imported.network, imported.embedding_size, imported.input)
    embeddings = load_embedder(tmp_path)(FACES)  # in ONNX Runtime: OneFlow's threads wait for MXNet's
    assert np.abs(embeddings - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_the_head_beside_it_is_left_out(peer, tmp_path):
    arrays = mx.nd.load(str(peer[0]))
    mx.nd.save(str(tmp_path / "a.params"), {**arrays, "arg:fc7_weight": mx.nd.ones((9, 32))})
    assert "left out: fc7_weight" in import_weights(tmp_path / "a.params", Choices(), "python").said


def test_squeeze_and_excitation_is_refused():
    names = {"stage1_unit1_se_conv1_weight": np.zeros(1), "stage1_unit1_se_conv1_bias": np.zeros(1)}
    with pytest.raises(UserError, match="stage1_unit1_se_conv1_weight, stage1_unit1_se_conv1_bias have no place"):
        from_mxnet(names)


@pytest.mark.parametrize("length", [8, 60, 200_000])
def test_a_file_that_was_cut_is_refused(peer, tmp_path, length):
    path = tmp_path / "cut.params"
    path.write_bytes(peer[0].read_bytes()[:length])
    with pytest.raises(UserError, match="not a whole file of MXNet"):
        read_named(path, MXNET, "python")


def test_arrays_without_names_are_refused(tmp_path):
    mx.nd.save(str(tmp_path / "list.params"), [mx.nd.ones(3)])
    with pytest.raises(UserError, match="no arrays with names"):
        read_named(tmp_path / "list.params", MXNET, "python")
