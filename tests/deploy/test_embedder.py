"""Models of every kind as embedders: both backends give the same embeddings, and what cannot be run is said."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deploy.embedder import Embedder, load_backbone_embedder, load_embedder, model_digest
from deploy.images import drawn_faces
from deploy.onnx_embedder import OnnxEmbedder
from tests.deploy.models import make_model
from utils.errors import UserError


@pytest.mark.parametrize("network", ["r18", "mbf", "mbf_tiny"])
def test_both_backends_give_the_same_embeddings(tmp_path, network):
    model = make_model(tmp_path / "model", network)
    oneflow, onnx_ = load_embedder(model, backend="oneflow"), load_embedder(model, backend="onnx", threads=1)
    assert isinstance(oneflow, Embedder) and isinstance(onnx_, OnnxEmbedder)
    assert oneflow.embedding_size == onnx_.embedding_size == 64
    faces = drawn_faces(5)
    for batch in (faces, faces[:1]):
        embeddings, wanted = onnx_(batch), oneflow(batch)
        assert embeddings.dtype == np.float32
        assert np.linalg.norm(embeddings - wanted, axis=1).max() < 1e-4 * np.linalg.norm(wanted, axis=1).min()
        assert np.abs(embeddings - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_auto_takes_onnx_runtime_on_the_cpu(tmp_path):
    model = make_model(tmp_path / "model", "mbf_tiny", 16)
    assert load_embedder(model).backend == "onnx" and load_backbone_embedder(model).backend == "oneflow"


def identity_model(path, batch, size):
    """An ONNX model that gives the mean of each color, (batch, 3)."""
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["y"]),
        ],
        "colors",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 112, 112])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, size])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), path)
    return path


@pytest.mark.parametrize(("batch", "size"), [("N", 3), (1, 3), (2, 3), (None, "E")])
def test_models_of_others_with_fixed_batches_and_unnamed_sizes(tmp_path, batch, size):
    embedder = load_embedder(identity_model(tmp_path / "m.onnx", batch, size))
    faces = drawn_faces(5)
    assert embedder.embedding_size == 3
    wanted = (faces.astype(np.float64).mean(axis=(1, 2)) - 127.5) / 127.5
    np.testing.assert_allclose(embedder(faces), wanted, atol=1e-5)


@pytest.mark.parametrize("key", ["normalization", "normalisation"])
def test_normalization_inside_is_known_by_both_spellings_of_the_key(tmp_path, key):
    path = identity_model(tmp_path / "m.onnx", "N", 3)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {key: "embedded"})
    onnx.save(model, path)
    faces = drawn_faces(2)
    np.testing.assert_allclose(load_embedder(path)(faces), faces.astype(np.float64).mean(axis=(1, 2)), rtol=1e-5)


def test_oneflow_does_not_run_onnx_files(tmp_path):
    with pytest.raises(UserError, match="OneFlow cannot run"):
        load_embedder(identity_model(tmp_path / "m.onnx", 1, 3), backend="oneflow")


def test_the_digest_is_that_of_the_weights(tmp_path):
    model = make_model(tmp_path / "model", "mbf_tiny", 16)
    assert model_digest(model) == model_digest(model / "backbone.safetensors")
    assert model_digest(model) != model_digest(identity_model(tmp_path / "m.onnx", 1, 3))
