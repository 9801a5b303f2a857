"""ONNX models made elsewhere: whatever their ports are like, they get the pixels they take, or a sentence says why not.

tf2onnx gives NHWC, unnamed sizes and Keras' own scaling inside; paddle2onnx NCHW, fixed sizes and several outputs.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploy.embedder import load_embedder, model_digest
from deploy.onnx_options import OnnxOptions
from utils.errors import UserError

FACES = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), np.uint8)
PIXELS = FACES.astype(np.float64).mean(axis=(1, 2))  # (5, 3) RGB, 0 to 255
USUAL = (PIXELS - 127.5) / 127.5
_SHAPE = numpy_helper.from_array(np.array([7, 3, 112, 112], np.int64), "shape")
_SEVEN = [helper.make_node("Reshape", ["x", "shape"], ["pixels"])]


def write(path, shape, *, layout="NCHW", type_=TensorProto.FLOAT, before=(), outputs=("y",), constants=(), **metadata):
    """A model that gives each channel's mean: (batch, 3) as y; half of it as z, and its sum as norm.

    before: nodes from x to `pixels`.
    """
    names = {"y": 3, "z": 3, "norm": 1}
    nodes = [*before] or [helper.make_node("Cast", ["x"], ["pixels"], to=TensorProto.FLOAT)]
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    nodes += [
        helper.make_node("ReduceMean", ["pixels"], ["y"], axes=axes, keepdims=0),
        helper.make_node("Mul", ["y", "half"], ["z"]),
        helper.make_node("ReduceSum", ["y"], ["norm"], axes=[1], keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("x", type_, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, names[name]]) for name in outputs],
        [numpy_helper.from_array(np.float32(0.5), "half"), *constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.save(model, path)
    return path


def embedded(path, **said):
    return load_embedder(path, options=OnnxOptions(**said))(FACES)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("NHWC", ["N", 112, 112, 3]),
        ("NHWC", [None, None, None, 3]),
        ("NHWC", [1, 112, 112, 3]),
        ("NHWC", [4, 112, 112, 3]),
        ("NCHW", [None, 3, "H", "W"]),
        ("NCHW", [-1, 3, 112, 112]),
        ("NCHW", ["a", "b", "c", "d"]),
    ],
)
def test_the_layout_and_the_batch_are_the_shapes(tmp_path, layout, shape):
    embeddings = embedded(write(tmp_path / "m.onnx", shape, layout=layout))
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, USUAL, atol=1e-5)


def test_a_layout_that_the_shape_leaves_open_is_said(tmp_path):
    path = write(tmp_path / "m.onnx", ["a", "b", "c", "d"], layout="NHWC")
    np.testing.assert_allclose(embedded(path, input="NHWC"), USUAL, atol=1e-5)


@pytest.mark.parametrize(("type_", "least"), [(TensorProto.FLOAT16, 1e-2), (TensorProto.FLOAT, 1e-5)])
def test_half_precision_is_taken(tmp_path, type_, least):
    path = write(tmp_path / "m.onnx", ["N", 3, 112, 112], type_=type_)
    np.testing.assert_allclose(embedded(path), USUAL, atol=least)


def test_bytes_are_given_as_they_are(tmp_path):
    path = write(tmp_path / "m.onnx", ["N", 112, 112, 3], layout="NHWC", type_=TensorProto.UINT8)
    np.testing.assert_allclose(embedded(path), PIXELS, rtol=1e-5)


def test_options_and_metadata_say_color_and_normalization(tmp_path):
    stated, shape = "BGR, (x - [103.9, 116.8, 123.7]) / 58", ["N", 3, 112, 112]
    wanted = (PIXELS[:, ::-1] - [103.9, 116.8, 123.7]) / 58
    plain = write(tmp_path / "plain.onnx", shape)
    np.testing.assert_allclose(embedded(plain, input=stated), wanted, atol=1e-5)
    known = write(tmp_path / "known.onnx", shape, input=stated)
    np.testing.assert_allclose(embedded(known), wanted, atol=1e-5)
    np.testing.assert_allclose(embedded(known, input="RGB, x / 255"), PIXELS / 255, atol=1e-5)
    assert load_embedder(known).input_from == "metadata" and load_embedder(plain).input_from == "assumed"


def test_a_normalization_inside_is_seen(tmp_path):
    """As MXNet's exporter writes it, and as Keras' Rescaling layer behind tf2onnx's transpose."""
    numbers = [numpy_helper.from_array(np.float32(value), name) for name, value in (("mean", 127.5), ("std", 128))]
    before = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["turned", "mean"], ["centered"]),
        helper.make_node("Div", ["centered", "std"], ["pixels"]),
    ]
    path = write(tmp_path / "m.onnx", [None, 112, 112, 3], before=before, constants=numbers)
    assert load_embedder(path).input_from == "first steps"
    np.testing.assert_allclose(embedded(path), (PIXELS - 127.5) / 128, atol=1e-5)


def test_one_of_several_outputs(tmp_path):
    path = write(tmp_path / "m.onnx", ["N", 3, 112, 112], outputs=("norm", "y", "z"))
    with pytest.raises(UserError, match=r"several outputs, norm \[.*, 1\], y .*; say which .* --onnx_output"):
        embedded(path)
    np.testing.assert_allclose(embedded(path, output="z"), USUAL / 2, atol=1e-5)
    with pytest.raises(UserError, match="has no output 'w'; it has norm"):
        embedded(path, output="w")
    known = write(tmp_path / "known.onnx", ["N", 3, 112, 112], outputs=("norm", "y"), output="y")
    np.testing.assert_allclose(embedded(known), USUAL, atol=1e-5)


def test_a_batch_that_is_fixed_inside(tmp_path):
    """Exporters write a constant batch into a reshape, and call the input's dynamic all the same."""
    shape = numpy_helper.from_array(np.array([1, 3, 112, 112], np.int64), "shape")
    before = [helper.make_node("Reshape", ["x", "shape"], ["pixels"])]
    path = write(tmp_path / "m.onnx", ["N", 3, 112, 112], before=before, constants=[shape])
    np.testing.assert_allclose(embedded(path), USUAL, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "options", "sentence"),
    [
        (["N", 5, 160, 160], {}, r"takes \['N', 5, 160, 160\] as x, not faces"),
        (["N", 3, 8, 8], {}, "not faces"),
        (["N", 3, 112, 112], {"type_": TensorProto.INT64}, r"takes tensor\(int64\) as x"),
        (["N", 3, 112, 112], {"input": "NHWC"}, "which is not NHWC"),
        (["N", 3, 112, 112], {"normalization": "imagenet"}, "neither a color"),
        (["N", 3, 112, 112], {"before": _SEVEN, "constants": [_SHAPE]}, "cannot embed 1 face"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, shape, options, sentence):
    path = write(tmp_path / "m.onnx", shape, **options)
    with pytest.raises(UserError, match=sentence) as refused:
        embedded(path)
    assert str(path) in str(refused.value) or "neither" in sentence


def test_an_output_that_is_no_embedding_and_several_inputs(tmp_path):
    path = tmp_path / "m.onnx"
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 112, 112]) for name in ("x", "mask")]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    opset = [helper.make_opsetid("", 11)]
    for ports, sentence in ((inputs, "has 2 inputs, x, mask"), (inputs[:1], "not an embedding each")):
        graph = helper.make_graph(nodes, "pixels", ports, [output])
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=6), path)
        with pytest.raises(UserError, match=sentence):
            embedded(path)


def test_options_are_for_onnx_files_and_part_of_what_a_model_is(tmp_path):
    with pytest.raises(UserError, match=r"are for \.onnx files"):
        load_embedder(tmp_path / "backbone.safetensors", options=OnnxOptions("BGR"))
    path = write(tmp_path / "m.onnx", ["N", 3, 112, 112])
    digests = {model_digest(path, options) for options in (OnnxOptions(), OnnxOptions("BGR"), OnnxOptions(None, "y"))}
    assert len(digests) == 3
