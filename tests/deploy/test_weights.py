"""A model on disk, and what is refused as one; nothing that is loaded can run code."""

import json
import os
import pickle

import numpy as np
import pytest

from deploy.embedder import load_embedder
from deploy.images import drawn_faces
from deploy.weights import load_backbone, save_backbone
from tests.deploy.models import make_model
from utils.errors import UserError
from utils.tensor_file import write_tensors


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model", "mbf_tiny", 16)


def test_what_is_saved_is_loaded_from_file_and_folder(tmp_path):
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3)}
    file = save_backbone(tmp_path / "out", state, "r18", 512)
    for path in (file, file.parent):
        loaded, about = load_backbone(path)
        assert all(np.array_equal(loaded[name], state[name]) for name in state)
        assert about["network"] == "r18" and about["embedding_size"] == 512
    assert {path.name for path in file.parent.iterdir()} == {"backbone.safetensors", "config.json"}


def test_a_flipped_bit_is_seen(tmp_path):
    file = save_backbone(tmp_path, {"a": np.arange(6, dtype=np.float32), "b": np.ones(3, np.float32)}, "r18", 512)
    whole = file.read_bytes()
    for damaged in (whole[:-1] + b"\x01", whole.replace(b'"a"', b'"c"')):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"backbone\.safetensors .*its checksum is another one"):
            load_backbone(tmp_path)
    file.write_bytes(whole.replace(b'"crc32"', b'"crc33"'))  # as a file of others, which has no such checksum
    assert load_backbone(tmp_path)[0].keys() == {"a", "b"}


def test_weights_beside_the_description_of_others_say_themselves_what_they_are(tmp_path):
    """As a save leaves them that was cut off between its two files."""
    old, new = ({"a": np.full(3, number, np.float32)} for number in (1, 2))
    save_backbone(tmp_path / "out", old, "r18", 512)
    description = save_backbone(tmp_path / "new", new, "r50", 64).with_name("config.json")
    (tmp_path / "out" / "config.json").write_bytes(description.read_bytes())
    state, about = load_backbone(tmp_path / "out")
    assert (state["a"] == 1).all() and (about["network"], about["embedding_size"]) == ("r18", 512)


@pytest.mark.parametrize("said", [{}, {"network": "r18"}, {"embedding_size": "8"}, *(
    {"network": "r18", "embedding_size": size} for size in ("", "x", "-1", "0", "99999999999", "9" * 5000, "8.0")
)])  # fmt: skip
def test_weights_that_do_not_say_what_they_are_beside_the_description_of_others(tmp_path, said):
    save_backbone(tmp_path, {"a": np.ones(3, np.float32)}, "r50", 64)
    write_tensors(tmp_path / "backbone.safetensors", {"a": np.zeros(3, np.float32)}, said, sealed=True)
    with pytest.raises(UserError, match=r"backbone\.safetensors does not say network and embedding_size: its "):
        load_backbone(tmp_path)


def test_embeddings_have_their_shape_and_do_not_depend_on_the_batch(model):
    embedder, faces = load_embedder(model), drawn_faces(3)
    embeddings = embedder(faces)
    assert embeddings.shape == (3, 16) and embeddings.dtype == np.float32
    assert np.allclose(embedder(faces[1:2]), embeddings[1:2], atol=1e-5)


def test_weights_of_another_network_are_named(model):
    about = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(about | {"embedding_size": 8}))
    with pytest.raises(UserError, match=r"fc\.weight, fc\.bias, features\.weight and"):
        load_embedder(model)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("config.json", b"{}", "does not say network"),
        ("config.json", b"[]", "does not say network"),
        ("config.json", b"no json", "does not say network"),
        ("config.json", None, "is missing"),
        ("backbone.safetensors", None, "there is no model"),
        ("backbone.safetensors", b"", "not a whole safetensors file"),
        ("backbone.safetensors", b"\xff" * 100, "not a whole safetensors file"),
        ("model.onnx", None, "there is no model"),
        ("model.onnx", b"no onnx", "not an ONNX model"),
    ],
)
def test_damage_is_said(model, file, content, sentence):
    path = model / file
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        load_embedder(path if path.suffix == ".onnx" else model)


@pytest.mark.parametrize("file", ["backbone.safetensors", "config.json", "model.onnx"])
def test_a_pickle_in_any_files_place_runs_no_code(model, tmp_path, file):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (model / file).write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(UserError):
        load_embedder(model / file if file.endswith("onnx") else model)
    assert not (tmp_path / "ran").exists()


def test_python_in_the_description_is_only_text(model, tmp_path):
    code = f"__import__('os').mkdir({str(tmp_path / 'ran')!r})"
    (model / "config.json").write_text(json.dumps({"network": code, "embedding_size": 16}))
    with pytest.raises(UserError, match="there is no backbone"):
        load_embedder(model)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("about", [{"network": 5, "embedding_size": 16}, {"network": "r18", "embedding_size": "16"}])
def test_a_description_of_other_types_is_one_sentence(model, about):
    (model / "config.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="does not say network and embedding_size"):
        load_embedder(model)
