"""Layers in plain NumPy, images as (B, C, H, W): what the blocks of networks are held against."""

import numpy as np
import oneflow as flow


def conv2d(x, weight, stride=1, padding=0, groups=1):
    """weight: (O, C / groups, k, k)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kernel = weight.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    parts = zip(np.split(windows, groups, 1), np.split(weight, groups, 0), strict=True)
    return np.concatenate([np.einsum("bchwij,ocij->bohw", *part) for part in parts], 1)


def batch_norm(x, state, name):
    """In training: by the batch's own mean and (biased) variance."""
    mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    weight, bias = (state[f"{name}.{key}"].reshape(1, -1, 1, 1) for key in ("weight", "bias"))
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def mean_pool(x, kernel, stride, padding=0, cut=False):
    """Zeros around the map count; with `cut` the last window may end beyond it, which does not."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    starts = range(0, x.shape[2] - kernel + (stride if cut else 1), stride)
    rows = np.stack([x[:, :, start : start + kernel].mean(2) for start in starts], 2)
    return np.stack([rows[..., start : start + kernel].mean(3) for start in starts], 3)


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def draw(module, rng):
    """Gives all parameters of `module`, in float64 from here on, drawn values; returns its state as NumPy arrays."""
    module.to(flow.float64)
    for parameter in module.parameters():
        parameter.data.copy_(flow.tensor(rng.normal(size=parameter.shape)))
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


def assert_gradients(module, x, rng, step=1e-5):
    """Each gradient's product with a drawn direction, against a finite difference of sum(module(x) * drawn)."""
    x = flow.tensor(x, requires_grad=True)
    dy = flow.tensor(rng.normal(size=module(x).shape))

    def loss():
        return (module(x) * dy).sum()

    loss().backward()
    for name, tensor in [("x", x), *module.named_parameters()]:
        gradient, values = tensor.grad.numpy(), tensor.numpy().copy()
        direction = rng.normal(size=values.shape)
        found = []
        for sign in (1, -1):
            tensor.data.copy_(flow.tensor(values + sign * step * direction))
            found.append(loss().item())
        tensor.data.copy_(flow.tensor(values))
        wanted = (found[0] - found[1]) / (2 * step)
        # The floor is for a bias that BatchNorm takes away again: differences leave rounding of it.
        assert abs((gradient * direction).sum() - wanted) < 1e-4 * max(np.linalg.norm(gradient), 1), name
