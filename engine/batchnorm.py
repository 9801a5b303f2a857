"""The backbone as one set of weights, although every rank's BatchNorm gathers statistics of its own images."""

import numpy as np
from oneflow import nn

from utils.runtime import Runtime, local_array

_STATISTICS = ("running_mean", "running_var")


def averaged_state(backbone: nn.Module, runtime: Runtime) -> dict[str, np.ndarray]:
    """The backbone's weights and buffers by name, as host copies that are the same on every rank.

    BatchNorm's `running_mean` and `running_var` are labeled broadcast, yet each rank updates its own; here they are
    the mean over the ranks, without which an evaluated or saved model would be rank 0's alone. The training copies
    are left as they are. A collective: every rank calls it at the same step.
    """
    state = {name: local_array(tensor).copy() for name, tensor in backbone.state_dict().items()}
    names = [name for name in state if name.endswith(_STATISTICS)]
    if runtime.ranks > 1 and names:
        flat = np.concatenate([state[name] for name in names])
        mean = runtime.sum_over_ranks(flat) / np.float32(runtime.ranks)
        bounds = np.cumsum([len(state[name]) for name in names])[:-1]
        state.update(zip(names, np.split(mean, bounds), strict=True))
    return state


def rank_statistics(backbone: nn.Module) -> dict[str, np.ndarray]:
    """This rank's own running statistics by name: what a run resumed on the same ranks goes on from."""
    return {n: local_array(t).copy() for n, t in backbone.state_dict().items() if n.endswith(_STATISTICS)}
