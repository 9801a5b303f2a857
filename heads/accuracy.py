"""How many images of a batch are nearest to their own class, among those of a step and before any margin."""

from collections.abc import Callable

import numpy as np
import oneflow as flow

_BLOCK = 1 << 22  # products at a time, of all images of the batch with some of the centers
_TINY = 1e-38


def batch_accuracy(
    directions: flow.Tensor,
    centers: flow.Tensor,
    slots: np.ndarray,
    exchange: Callable[[np.ndarray], np.ndarray],
) -> float:
    """The share of images whose product with their own class is above those with all others. A collective.

    directions: (B, width), the global batch's, each times any number above 0; centers: (n, K, width), this rank's share
    of the classes, of whose K centers the nearest counts; both local. slots: (B,), each image's own class among
    `centers`; outside of 0 ... n - 1 it is another rank's. exchange: as `Runtime.exchange`.
    """
    directions = directions.to(flow.float32)
    directions = directions / directions.abs().amax(dim=1, keepdim=True).clamp(min=_TINY)  # so that none gets too small
    lowest = flow.full((len(slots),), -np.inf, dtype=flow.float32, device=directions.device)
    own, best = lowest.clone(), lowest
    each, width = centers.shape[1:]
    count = max(1, _BLOCK // (len(slots) * each))
    for first in range(0, len(centers), count):
        block = centers[first : first + count].to(flow.float32)
        products = flow.matmul(directions, block.reshape(-1, width), transpose_b=True)
        products = products.reshape(len(slots), -1, each).amax(dim=2)  # (B, count)
        inside = np.flatnonzero((slots >= first) & (slots < first + len(block)))
        if len(inside):
            rows, columns = (flow.tensor(index).to(products.device) for index in (inside, slots[inside] - first))
            own[rows] = products[rows, columns]
            products[rows, columns] = lowest[: len(inside)]
        best = flow.maximum(best, products.amax(dim=1))
    own, best = exchange(np.stack([own.numpy(), best.numpy()])).max(axis=0)
    return float((own > best).mean())
