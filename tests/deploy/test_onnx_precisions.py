"""Half precision and integers of several families, computed as the file says, in ONNX Runtime without its shortcuts.

Weights are random, which blow up what rounding leaves, so these are no figures of trained models.
"""

import numpy as np
import oneflow as flow
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from backbones import get_model
from backbones.registry import Sizes
from deploy.images import drawn_faces
from deploy.input_format import own_format
from deploy.onnx_convert import INPUT, to_onnx
from deploy.onnx_quantize import to_fp16, to_int8
from planning.inference import learn_statistics
from tests.backbones.small import SHALLOW
from utils.pixels import USUAL_SHAPE

EMBEDDING, CALIBRATION, COMPARED = 32, 16, 4
# The least cosines of fp16 and of int8.
BOUNDS = {
    "mbf_tiny": (0.99999, 0.98),
    "resnet50": (0.9999, 0.9),
    "vit_t": (0.9999, 0.98),
}


@pytest.fixture(scope="module")
def pixels():
    return own_format(USUAL_SHAPE).apply(drawn_faces(CALIBRATION + COMPARED))


@pytest.fixture(scope="module", params=BOUNDS)
def exported(request, pixels):
    """The name, ONNX content, and OneFlow's embeddings of the images that are compared."""
    flow.manual_seed(0)
    name = request.param
    network = SHALLOW[name](Sizes(EMBEDDING), 0.0) if name in SHALLOW else get_model(name, EMBEDDING)
    learn_statistics(network, pixels[:CALIBRATION])
    with flow.no_grad():
        wanted = network.eval()(flow.tensor(pixels[CALIBRATION:])).numpy()
    return name, to_onnx(network).SerializeToString(), wanted


def run(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: pixels})[0]


def least_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_it_agrees_with_oneflow_whatever_the_batch(exported, pixels, precision):
    name, content, wanted = exported
    model = onnx.load_from_string(content)
    small = to_fp16(model) if precision == "fp16" else to_int8(model, pixels[:CALIBRATION])
    onnx.checker.check_model(small, full_check=True)
    embeddings = run(small, pixels[CALIBRATION:])
    assert least_cosine(embeddings, wanted) > BOUNDS[name][precision == "int8"]
    alone = run(small, pixels[CALIBRATION : CALIBRATION + 1])
    assert least_cosine(alone, embeddings[:1]) > 0.9999
    assert len(small.SerializeToString()) < len(content) * 0.8


def test_a_large_channel_costs_the_others_no_precision(pixels):
    network = get_model("mbf_tiny", EMBEDDING).eval()
    with flow.no_grad():
        network.layers[0][0].weight[3].mul_(1000.0)
    floats = to_onnx(network)
    whole = {tensor.name: numpy_helper.to_array(tensor) for tensor in floats.graph.initializer}
    tensors = {t.name: numpy_helper.to_array(t) for t in to_int8(floats, pixels[:2]).graph.initializer}
    names = [name for name, array in whole.items() if array.ndim in (2, 4)]
    assert len(names) == 4
    for name in names:
        axis = 0 if whole[name].ndim == 4 else 1  # of the output channels, convolutions' and the linear layer's
        wanted = np.moveaxis(whole[name], axis, 0).reshape(whole[name].shape[axis], -1)
        scale, zero = tensors[f"{name}_scale"], tensors[f"{name}_zero_point"]
        np.testing.assert_allclose(scale, 2 * np.abs(wanted).max(1) / 254, rtol=1e-5)
        assert (zero == zero[0]).all()
        quantized = np.moveaxis(tensors[f"{name}_quantized"], axis, 0).reshape(wanted.shape).astype(np.float64)
        assert (np.abs((quantized - zero[0]) * scale[:, None] - wanted) <= scale[:, None] * 0.501).all()
