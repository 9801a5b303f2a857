"""Statistics for BatchNorms that were made up, so that training begins where inference is."""

from collections.abc import Mapping

import numpy as np
import oneflow as flow

from deploy.embedder import Embedder
from deploy.importing.identity import EPSILON

_BATCH = 16


def measure(embedder: Embedder, norms: list[str], images: np.ndarray) -> dict[str, np.ndarray]:
    """The parameters of the BatchNorms `norms`, whose statistics are now those of `images` (N, H, W, 3) uint8 RGB.

    A BatchNorm that was made up passes its input on, but in training it would normalize it. With mean m and variance v
    of what it is given as running statistics, sqrt(v + epsilon) as scale and m more as shift it does at inference what
    it did, and in training nearly that.
    """
    modules = dict(embedder.network.named_modules())
    sums = {name: np.zeros((3, modules[name].num_features)) for name in norms}  # count, sum, sum of squares

    def hook(name: str):
        def add(module, inputs):
            values = inputs[0].numpy()
            axes = (0, *range(2, values.ndim))
            count = np.full(values.shape[1], values.size // values.shape[1])
            sums[name] += [count, *(each.sum(axes, np.float64) for each in (values, values**2))]

        return add

    for name in norms:
        modules[name].register_forward_pre_hook(hook(name))
    for start in range(0, len(images), _BATCH):
        embedder(images[start : start + _BATCH])
    return {
        key: array for name in norms for key, array in _refilled(name, sums[name], modules[name].state_dict()).items()
    }


def _refilled(name: str, sums: np.ndarray, before: Mapping[str, flow.Tensor]) -> dict[str, np.ndarray]:
    count, total, squares = sums
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0)
    shift = before["bias"].numpy() + mean
    new = {"weight": np.sqrt(variance + EPSILON), "bias": shift, "running_mean": mean, "running_var": variance}
    return {f"{name}.{part}": array.astype(np.float32) for part, array in new.items()}
