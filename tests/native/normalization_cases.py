"""BatchNorm with what may follow it, and what NumPy says of it in float64."""

from dataclasses import dataclass

import numpy as np

EPSILON, MOMENTUM = 1e-5, 0.1  # momentum as in nn.BatchNorm2d: the share of the new


@dataclass(frozen=True)
class Normalization:
    """x: shape (B, C, ...); added: a tensor of its shape is added before the activation; slopes: of PReLU, 1 or C."""

    shape: tuple[int, ...]
    activation: str = ""  # "prelu" | "relu" | "relu6"
    added: bool = False
    slopes: int = 0
    training: bool = True
    offset: float = 0.5

    def inputs(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(sum(self.shape))
        channels = self.shape[1]
        made = {
            "x": rng.standard_normal(self.shape) * 2 + self.offset,
            "gamma": rng.uniform(0.5, 1.5, channels),
            "beta": rng.standard_normal(channels) * 0.5,
        }
        if self.activation == "prelu":
            made["slope"] = rng.uniform(0.1, 0.5, self.slopes or channels)
        if self.added:
            made["addend"] = rng.standard_normal(self.shape)
        return {name: array.astype(np.float32) for name, array in made.items()}

    def moving(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (C,) before the step."""
        rng = np.random.default_rng(7)
        channels = self.shape[1]
        return rng.standard_normal(channels).astype(np.float32), rng.uniform(1, 2, channels).astype(np.float32)

    def weights(self) -> np.ndarray:
        return np.random.default_rng(3).standard_normal(self.shape).astype(np.float32)

    def reference(self) -> dict[str, np.ndarray]:
        """y; the gradients of (y * weights).sum() by each input, under its name; the moving statistics afterwards."""
        given = {name: array.astype(np.float64) for name, array in self.inputs().items()}
        dy, x = self.weights().astype(np.float64), given["x"]
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        wide = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
        count = x.size // x.shape[1]
        mean, variance = (array.astype(np.float64) for array in self.moving())
        after = {"moving_mean": mean, "moving_variance": variance}
        if self.training:
            mean, variance = x.mean(axes), x.var(axes)
            after["moving_mean"] = after["moving_mean"] * (1 - MOMENTUM) + mean * MOMENTUM
            unbiased = variance * count / (count - 1)
            after["moving_variance"] = after["moving_variance"] * (1 - MOMENTUM) + unbiased * MOMENTUM
        inverse = 1 / np.sqrt(variance + EPSILON)
        normal = (x - mean.reshape(wide)) * inverse.reshape(wide)
        z = normal * given["gamma"].reshape(wide) + given["beta"].reshape(wide) + given.get("addend", 0)
        y, dz, gradients = self._activated(z, dy, given, axes, wide)
        scaled = dz * given["gamma"].reshape(wide)
        if self.training:
            scaled = scaled - scaled.mean(axes, keepdims=True) - normal * (scaled * normal).mean(axes, keepdims=True)
        gradients |= {"x": scaled * inverse.reshape(wide), "gamma": (dz * normal).sum(axes), "beta": dz.sum(axes)}
        if self.added:
            gradients["addend"] = dz
        return {"y": y, **gradients, **after}

    def _activated(self, z, dy, given, axes, wide):
        if self.activation == "prelu":
            slope = given["slope"]
            factor = np.where(z > 0, 1.0, slope.reshape(wide) if slope.size > 1 else slope)
            diff = np.where(z > 0, 0.0, dy * z)
            return z * factor, dy * factor, {"slope": diff.sum(axes) if slope.size > 1 else diff.sum().reshape(1)}
        if self.activation == "relu":
            return np.maximum(z, 0), np.where(z > 0, dy, 0.0), {}
        if self.activation == "relu6":
            return np.clip(z, 0, 6), np.where((z >= 0) & (z <= 6), dy, 0.0), {}
        return z, dy, {}


IMAGES = (3, 20, 9, 7)
CASES = {
    "alone": Normalization(IMAGES),
    "prelu": Normalization(IMAGES, "prelu"),
    "prelu, one slope": Normalization(IMAGES, "prelu", slopes=1),
    "relu": Normalization(IMAGES, "relu"),
    "relu6": Normalization((3, 20, 9, 7), "relu6", offset=2),
    "added": Normalization(IMAGES, added=True),
    "added, relu": Normalization(IMAGES, "relu", added=True),
    "many channels": Normalization((2, 130, 5, 5), "prelu"),
    "large, on several threads": Normalization((4, 24, 30, 30), "prelu"),
    "far from zero": Normalization((4, 8, 16, 16), "prelu", offset=300),
    "2 pixels": Normalization((2, 5, 1, 2), "prelu"),
    "7 pixels": Normalization((1, 5, 7, 1), "prelu"),
    "one pixel": Normalization((6, 12, 1, 1), "prelu"),
    "rows": Normalization((6, 12)),
    "rows, prelu": Normalization((6, 12), "prelu"),
}
