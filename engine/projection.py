"""What makes a student's embeddings as long as its teacher's, in training alone."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import oneflow as flow
from oneflow import nn

from utils.errors import UserError
from utils.runtime import Runtime, local_array, write_local

WEIGHT = "projection.weight"  # among the parameters
_SAVED = f"{WEIGHT}/value"  # in checkpoints
_STREAM = 4  # of cfg.seed


def build_projection(cfg, teacher_size: int, runtime: Runtime) -> nn.Module | None:
    """A linear layer without bias, embedding_size -> teacher_size; None if they are the same. Its weights follow from
    `cfg.seed`; it lives where the backbone does.
    """
    size = cfg.embedding_size
    if teacher_size == size:
        return None
    layer = nn.Linear(size, teacher_size, bias=False)
    if cfg.graph:
        layer.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    else:
        layer.to(runtime.device)
    drawn = np.random.default_rng([cfg.seed, _STREAM]).standard_normal((teacher_size, size)) / np.sqrt(size)
    write_local(layer.weight, drawn.astype(np.float32))
    return layer


def projection_state(layer: nn.Module | None) -> dict[str, np.ndarray]:
    """Of a checkpoint, equal on all ranks."""
    return {} if layer is None else {_SAVED: local_array(layer.weight).copy()}


def load_projection(layer: nn.Module | None, state: Mapping[str, np.ndarray], folder: Path) -> None:
    """Takes the weights of a checkpoint, if it has some. Raises UserError if its teacher was of another length."""
    if layer is None or _SAVED not in state:
        return
    if state[_SAVED].shape != tuple(layer.weight.shape):
        raise UserError(
            f"{folder} was trained with a teacher of {len(state[_SAVED])} numbers, but that of this run has "
            f"{layer.weight.shape[0]}"
        )
    write_local(layer.weight, state[_SAVED])
