"""InsightFace's MXNet ArcFace network, written from its public description, with its names: LResNet18E-IR."""

from pathlib import Path

import mxnet as mx
import numpy as np

EPSILON = 2e-5


def _norm(data, name, fixed=False):
    return mx.sym.BatchNorm(data, fix_gamma=fixed, eps=EPSILON, name=name)


def _conv(data, name, width, kernel=3, stride=1):
    square = {"kernel": (kernel, kernel), "stride": (stride, stride), "pad": (kernel // 2, kernel // 2)}
    return mx.sym.Convolution(data, num_filter=width, no_bias=True, name=name, **square)


def _prelu(data, name):
    return mx.sym.LeakyReLU(data, act_type="prelu", name=name)


def _unit(data, name, width, stride):
    out = _prelu(_norm(_conv(_norm(data, f"{name}_bn1"), f"{name}_conv1", width), f"{name}_bn2"), f"{name}_relu1")
    out = _norm(_conv(out, f"{name}_conv2", width, stride=stride), f"{name}_bn3")
    if stride == 1:
        return out + data
    return out + _norm(_conv(data, f"{name}_conv1sc", width, kernel=1, stride=2), f"{name}_sc")


def symbol(size: int, units=(2, 2, 2, 2)):
    """Takes pixels 0 to 255 RGB as `data`."""
    body = (mx.sym.identity(mx.sym.Variable("data"), name="id") - 127.5) * 0.0078125
    body = _prelu(_norm(_conv(body, "conv0", 64), "bn0"), "relu0")
    for stage, count in enumerate(units, 1):
        for unit in range(1, count + 1):
            body = _unit(body, f"stage{stage}_unit{unit}", 32 * 2**stage, 2 if unit == 1 else 1)
    body = mx.sym.Dropout(_norm(body, "bn1"), p=0.4)
    return _norm(mx.sym.FullyConnected(body, num_hidden=size, name="pre_fc1"), "fc1", fixed=True)


def _random(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name.endswith("_weight"):
        return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
    low, high = {"gamma": (0.2, 0.8), "beta": (-0.3, 0.3), "mean": (-0.3, 0.3), "var": (0.5, 1.5)}.get(
        name.rpartition("_")[2], (-0.1, 0.1)
    )
    numbers = rng.uniform(low, high, shape)
    if name.endswith("_var"):
        numbers[::7] = 1e-4  # there an epsilon counts
    if name.endswith("bn1_gamma") or name.endswith("bn2_gamma") or name.endswith("bn3_gamma"):
        numbers[::7] = 0.01
    return numbers


def write(path: Path, images: np.ndarray, size: int) -> np.ndarray:
    """Saves random weights as `mx.model.save_checkpoint` does; the embeddings that MXNet computes with them.

    images: (N, 112, 112, 3) uint8 RGB.
    """
    network, rng = symbol(size), np.random.default_rng(0)
    data = images.transpose(0, 3, 1, 2)
    shapes, _, aux_shapes = network.infer_shape(data=data.shape)
    args = {
        name: mx.nd.array(_random(name, shape, rng))
        for name, shape in zip(network.list_arguments(), shapes, strict=True)
        if name != "data"
    }
    aux = {
        name: mx.nd.array(_random(name, shape, rng))
        for name, shape in zip(network.list_auxiliary_states(), aux_shapes, strict=True)
    }
    executor = network.bind(mx.cpu(), {**args, "data": mx.nd.array(data)}, aux_states=aux, grad_req="null")
    output = executor.forward(is_train=False)[0].asnumpy()
    arrays = {**{f"arg:{name}": each for name, each in args.items()}, **{f"aux:{k}": each for k, each in aux.items()}}
    mx.nd.save(str(path), arrays)
    return output
