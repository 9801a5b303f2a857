"""Exports as ONNX Runtime and the insightface package see them, and what is refused."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

import export
from backbones import get_model
from backbones.without_values import without_values
from deploy.embedder import load_backbone_embedder, load_embedder
from deploy.images import drawn_faces
from deploy.onnx_check import compare
from deploy.onnx_convert import to_onnx
from tests.deploy.models import make_model
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = make_model(tmp_path_factory.mktemp("tiny"), "mbf_tiny")
    (folder / "config.py").write_text("config = 'as it was trained'\n")
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    (folder / "deeper").mkdir()
    for number, face in enumerate(drawn_faces(24)):
        place = folder / "deeper" if number % 2 else folder
        cv2.imwrite(str(place / f"{number}.png"), cv2.cvtColor(face, cv2.COLOR_RGB2BGR))
    return folder


def run(model: Path, *options: str, out: Path | None = None) -> Path:
    out = out or model / "model.onnx"
    export.main(["demo", "val_path=/nowhere", "--model_path", str(model), "--out_path", str(out), *map(str, options)])
    return out


@pytest.mark.parametrize("network", ["r18", "mbf", "mbf_tiny"])
def test_embeddings_are_oneflows_at_every_batch_size(tmp_path, network):
    folder = make_model(tmp_path, network)
    exported, wanted = load_embedder(run(folder)), load_backbone_embedder(folder)
    faces = drawn_faces(7)
    reference = wanted(faces)
    for size in (1, 2, 3, 7):
        assert np.abs(exported(faces[:size]) - reference[:size]).max() < 2e-5 * np.abs(reference).max()
    assert exported.embedding_size == wanted.embedding_size == 64


@pytest.mark.parametrize("network", ["r100", "mbf_large"])
def test_deep_networks_convert_whole(network):
    from backbones import get_model

    model = to_onnx(get_model(network, 16).eval())
    kinds = {node.op_type for node in model.graph.node}
    assert kinds <= {"Conv", "PRelu", "BatchNormalization", "Add", "Reshape", "Gemm"}
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_the_file_says_what_it_is(tiny):
    model = onnx.load(run(tiny))
    onnx.checker.check_model(model, full_check=True)
    (taken,), (given,) = model.graph.input, model.graph.output
    dims = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in (taken, given)]
    assert (taken.name, given.name) == ("input.1", "embedding")
    assert dims == [["batch", 3, 112, 112], ["batch", 64]]
    assert (model.ir_version, model.opset_import[0].version) == (6, 11)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["network"] == "mbf_tiny" and about["embedding_size"] == "64" and about["color"] == "RGB"
    assert about["normalization"] == "(x - 127.5) / 127.5"
    assert about["training_config"] == (tiny / "config.py").read_text()


def test_two_exports_are_equal_to_the_byte(tiny, tmp_path):
    assert run(tiny).read_bytes() == run(tiny, out=tmp_path / "again.onnx").read_bytes()


@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize(("precision", "closeness"), [("fp32", 1e-5), ("fp16", 5e-3), ("int8", 0.3)])
def test_precisions(tiny, tmp_path, faces, capsys, precision, closeness, embedded):
    options = {"fp32": [], "fp16": ["--fp16"], "int8": ["--int8", "--calibration", faces]}[precision]
    path = run(tiny, *options, *["--embed_normalization"] * embedded, out=tmp_path / "deep/er/model.onnx")
    differences = compare(load_embedder(path), load_backbone_embedder(tiny), drawn_faces(5))
    assert max(difference.largest for difference in differences) < closeness * 3
    assert [difference.batch_size for difference in differences] == [1, 2, 5]
    whole = run(tiny).stat().st_size
    assert path.stat().st_size < whole * {"fp32": 1.01, "fp16": 0.55, "int8": 0.35}[precision]
    model = onnx.load(path)
    versions = {"fp32": (6, 11), "fp16": (6, 11), "int8": (7, 13)}
    assert (model.ir_version, model.opset_import[0].version) == versions[precision]
    assert f"{precision}, opset {versions[precision][1]}, " in capsys.readouterr().out
    names = [node.name for node in model.graph.node[:2]]
    assert (names == ["Sub_0", "Mul_0"]) == embedded
    assert sorted(file.name for file in path.parent.iterdir()) == ["README.md", "model.onnx"]


@pytest.mark.parametrize("embedded", [False, True])
def test_the_insightface_package_gives_the_same_embeddings(tiny, tmp_path, embedded):
    from insightface.model_zoo import get_model

    path = run(tiny, *["--embed_normalization"] * embedded, out=tmp_path / "model.onnx")
    model = get_model(str(path), providers=["CPUExecutionProvider"])
    faces = drawn_faces(5)
    wanted = load_backbone_embedder(tiny)(faces)
    features = model.get_feat([cv2.cvtColor(face, cv2.COLOR_RGB2BGR) for face in faces])
    assert model.taskname == "recognition" and model.input_size == (112, 112)
    assert np.abs(features - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_a_model_that_differs_is_refused_and_leaves_nothing(tiny, tmp_path, faces, monkeypatch):
    from deploy import onnx_export

    def spoil(model):
        model.graph.node[1].op_type = "Tanh"
        return model

    monkeypatch.setattr(onnx_export, "to_fp16", spoil)
    with pytest.raises(UserError, match=r"fp16 model is not written, .* min cosine .* at least 0\.999 "):
        run(tiny, "--fp16", out=tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_more_weights_than_a_file_can_hold_are_refused():
    with without_values():
        network = get_model("vit_h").eval()  # memory that is never touched
    with pytest.raises(UserError, match=r"its weights are 3\.03 GB in float32"):
        to_onnx(network)


def test_an_unknown_operation_is_refused(monkeypatch):
    import oneflow as flow

    class Odd(flow.nn.Module):
        def forward(self, x):
            return flow.erfinv(flow.flatten(x, 1))

    with pytest.raises(UserError, match="cannot be exported"):
        to_onnx(Odd().eval())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--int8"], "needs --calibration"),
        (["--calibration", "x"], "is for --int8"),
        (["--int8", "--calibration", "/nowhere"], "neither a folder nor a file at /nowhere"),
        (["--opset", "13"], "is not one of 11, 12"),
        (["--out_path", "model.bin"], "must end in .onnx"),
        (["--out_path", "/dev/null/m.onnx"], "cannot be written: /dev/null is no folder that takes files"),
        (["--model_path", "/nowhere"], "there is no model at /nowhere"),
    ],
)
def test_mistakes_are_one_sentence(tiny, options, sentence):
    with pytest.raises(UserError, match=sentence):
        export.main(["demo", "--model_path", str(tiny), *options])


def test_unfit_calibration_images_are_named(tiny, tmp_path):
    with pytest.raises(UserError, match="holds no images"):
        run(tiny, "--int8", "--calibration", tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 90, 3), np.uint8))
    with pytest.raises(UserError, match=r"a.png is 100x90 pixels, not 112x112"):
        run(tiny, "--int8", "--calibration", tmp_path)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"a.png is no image"):
        run(tiny, "--int8", "--calibration", tmp_path)


def test_the_program_ends_with_2_and_no_traceback():
    command = [sys.executable, "export.py", "--int8"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: --int8 needs --calibration")


def test_the_embedders_own_normalization_is_the_trainers(tiny):
    import oneflow as flow

    embedder, faces = load_backbone_embedder(tiny), drawn_faces(2)
    pixels = flow.tensor(((faces / 255 - 0.5) / 0.5).astype(np.float32).transpose(0, 3, 1, 2).copy())
    assert np.abs(embedder(faces) - embedder.network(pixels).numpy()).max() < 1e-5


def test_a_cpu_whose_integer_kernels_are_wrong_runs_the_model_in_float32(tiny, tmp_path, faces, monkeypatch):
    path = run(tiny, "--int8", "--calibration", faces, out=tmp_path / "model.onnx")
    real = onnxruntime.InferenceSession

    class Broken(real):
        """Wrong unless it is asked to leave the graph as it is."""

        def __init__(self, content, options, **more):
            super().__init__(content, options, **more)
            self._wrong = options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL

        def run(self, *arguments):
            outputs = super().run(*arguments)
            return [np.roll(output, 1, axis=-1) if self._wrong else output for output in outputs]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Broken)
    with pytest.warns(UserWarning, match="integer kernels are wrong"):
        embed = load_embedder(path)
    images = drawn_faces(2)
    ours, wanted = embed(images), load_backbone_embedder(tiny)(images)
    assert ((ours * wanted).sum(1) > 0.98 * np.linalg.norm(ours, axis=1) * np.linalg.norm(wanted, axis=1)).all()
