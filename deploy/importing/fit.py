"""Which network weights with our tensor names are of."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from deploy.importing.skeleton import candidates, skeleton
from utils.errors import UserError

COUNTER = ".num_batches_tracked"  # of BatchNorm; files of old releases lack it, and nothing reads it


def fit_to_network(
    state: Mapping[str, np.ndarray], network: str | None = None
) -> tuple[str, dict[str, np.ndarray], int]:
    """(name, `state` in the network's own order, embedding size); BatchNorm's counters are added if they lack.

    network: the only one it may be, by default any. Raises UserError naming the tensors that are missing, unknown or of
    another shape; those of the nearest network if it may be any.
    """
    nearest, least = "", None
    for name in candidates(network):
        wanted, size = _wanted(name, state)
        counters = {each: np.zeros((), np.int64) for each in wanted if each.endswith(COUNTER)}
        full = {**counters, **state}
        wrong = {
            "missing": [each for each in wanted if each not in full],
            "unknown": [each for each in full if each not in wanted],
            "of another shape": [each for each in wanted if each in full and full[each].shape != wanted[each]],
        }
        count = sum(map(len, wrong.values()))
        if not count:
            return name, {each: full[each] for each in wanted}, size
        if least is None or count < least:
            said = [
                f"{some(names)} {'is' if len(names) == 1 else 'are'} {what}" for what, names in wrong.items() if names
            ]
            nearest, least = f"{name}: {said[0]}", count
    if network:
        raise UserError(f"these are not weights of {nearest}")
    raise UserError(f"these are weights of none of the networks here; the nearest is {nearest}")


@cache
def tensor_shapes(network: str, embedding_size: int) -> dict[str, tuple[int, ...]]:
    """By name, in the network's order. Raises UserError if there is no such network."""
    return {name: tuple(each.shape) for name, each in skeleton(network, embedding_size).state_dict().items()}


def last_tensor(network: str) -> str:
    """The name of the last one, which has a number for each of the embedding."""
    return [name for name, shape in tensor_shapes(network, 512).items() if shape and not name.endswith(COUNTER)][-1]


def _wanted(network: str, state: Mapping[str, np.ndarray]) -> tuple[dict[str, tuple[int, ...]], int]:
    last = state.get(last_tensor(network))
    size = len(last) if last is not None and last.ndim else 512
    return tensor_shapes(network, size), size


def some(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
