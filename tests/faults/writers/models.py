"""Exported models, embeddings, galleries."""

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import onnx

from deploy.input_format import OWN
from deploy.onnx_export import ExportOptions, export_onnx
from evaluation.embedding_file import EmbeddingFile, load_embeddings
from recognition.gallery import Gallery
from tests.faults.writer import Writer
from tests.fuzz.judge import digest
from utils.errors import UserError


def network(number: float) -> onnx.ModelProto:
    """A small one: the mean of each channel, times `number`."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "number"], ["output"]),
    ]
    ports = [
        helper.make_tensor_value_info("input", kind, ["batch", 3, 112, 112]),
        helper.make_tensor_value_info("output", kind, ["batch", 3]),
    ]
    values = [onnx.numpy_helper.from_array(np.float32(number), "number")]
    graph = helper.make_graph(nodes, "network", ports[:1], ports[1:], values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)


def export(folder: Path, number: float) -> None:
    """As export.py does, with a network that needs no conversion; ONNX Runtime's threads would not outlive a fork."""
    embedder = SimpleNamespace(network=None, input=OWN)
    with (
        patch("deploy.onnx_export.to_onnx", lambda *_: network(number)),
        patch("deploy.onnx_export.compare", lambda found, wanted, images: [SimpleNamespace(cosine=1.0)]),
        patch("deploy.onnx_export.OnnxEmbedder", lambda path: onnx.checker.check_model(onnx.load(str(path)))),
    ):
        export_onnx(embedder, folder / "model.onnx", np.zeros((5, 112, 112, 3), np.uint8), ExportOptions(), {"a": "b"})


def read_onnx(folder: Path) -> str:
    model = onnx.load(str(folder / "model.onnx"))
    onnx.checker.check_model(model)
    return digest(onnx.numpy_helper.to_array(model.graph.initializer[0]))


def embed(folder: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((1300, 2, 4)).astype(np.float32)  # three blocks
    file = EmbeddingFile(folder / "x.npy", rows.shape, {"source": "set", "digest": "0", "model": "m"})
    for start, stop in [] if file.whole else file.missing():
        file.write(start, rows[start:stop])
    assert file.finish()


def read_embeddings(folder: Path) -> str:
    try:
        return digest(load_embeddings(folder / "x.npy")[0])
    except UserError as error:
        if "is not there" in (said := str(error)) or "are not finished" in said or "are not there" in said:
            return "not yet"
        raise


def save_gallery(folder: Path, people: str) -> None:
    rows = np.eye(len(people), 8, dtype=np.float32)
    Gallery.build(rows, list(people), [f"{n}.jpg" for n in range(len(people))], {"digest": "0"}).save(folder / "g.npz")


def read_gallery(folder: Path) -> str:
    found = Gallery.load(folder / "g.npz")
    return digest(np.array(found.embeddings), list(found.names))


WRITERS = (
    Writer(
        "export",
        ("deploy.onnx_export",),
        lambda folder: export(folder, 1.0),
        lambda folder: export(folder, 2.0),
        read_onnx,
    ),
    Writer("embed", ("evaluation.embedding_file",), lambda folder: None, embed, read_embeddings),
    Writer(
        "gallery",
        ("recognition.gallery",),
        lambda folder: save_gallery(folder, "aab"),
        lambda folder: save_gallery(folder, "aabc"),
        read_gallery,
    ),
)
