"""Layers that a network here has and the source lacks, as ones that change nothing."""

import numpy as np

EPSILON = 1e-5  # of every BatchNorm here


def batch_norm(name: str, channels: int, bias: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
    """A BatchNorm that adds `bias` (channels,) at inference, and nothing else."""
    return {
        f"{name}.weight": np.ones(channels, np.float32),
        f"{name}.bias": np.full(channels, bias, np.float32),
        f"{name}.running_mean": np.zeros(channels, np.float32),
        f"{name}.running_var": np.full(channels, 1 - EPSILON, np.float32),
    }


def subsampling(channels: int) -> np.ndarray:
    """The weight (channels, channels, 1, 1) of a convolution that passes every channel on; strided, it subsamples."""
    return np.eye(channels, dtype=np.float32)[:, :, None, None]


def to_our_epsilon(state: dict[str, np.ndarray], epsilon: float) -> dict[str, np.ndarray]:
    """`state`, whose BatchNorms were trained with `epsilon`, for BatchNorms with ours."""
    return {
        name: (array + np.float64(epsilon - EPSILON)).astype(np.float32) if name.endswith(".running_var") else array
        for name, array in state.items()
    }
