"""The gradient of class centers, from what a step returned, a block at a time."""

from collections.abc import Callable

import numpy as np
import oneflow as flow

from heads.sampling import ClassSampler, Sample

Gradient = Callable[[slice], np.ndarray | flow.Tensor]  # slots -> (n, *shape) float32, where the store is


class _Fetched:
    """Rows of a gradient that is on a card, for a store on the host: a large block at a time, in order."""

    _ROWS = 1 << 14

    def __init__(self, gradient_of: Callable[[slice], flow.Tensor], count: int) -> None:
        self._gradient_of, self._count, self._first, self._rows = gradient_of, count, 0, np.empty((0, 0), np.float32)

    def __call__(self, slots: slice) -> np.ndarray:
        """slots: no more than a large block holds, and not before those of the last call."""
        if slots.stop > self._first + len(self._rows):
            self._first = slots.start
            self._rows = self._gradient_of(slice(slots.start, min(slots.start + self._ROWS, self._count))).numpy()
        return self._rows[slots.start - self._first : slots.stop - self._first]


def by_micro_batch(labels: np.ndarray, ranks: int, micro: int) -> np.ndarray:
    """(B,) labels, rank by rank -> in the order of a step's results: a micro-batch is a part of every rank's rows."""
    return labels.reshape(ranks, micro, -1).swapaxes(0, 1).ravel()


def factored_gradient(
    sample: Sample,
    sampler: ClassSampler,
    shape: tuple[int, ...],
    on_host: bool,
    weight: float,
    micro: int,
    slopes: flow.Tensor,
    directions: flow.Tensor,
    target_slopes: flow.Tensor,
    nearest: flow.Tensor | None = None,
    number: flow.Tensor | None = None,
) -> Gradient:
    """``weight * slopes.T @ directions`` with the targets' slopes in their slots, of a model-parallel head.

    shape: of a class in the store, on_host: where that is. The tensors are `ClassParallelHead.forward`'s results, of
    `micro` micro-batches one below the other.
    """
    slopes, directions, targets = slopes.to_local(), directions.to_local(), target_slopes.to_local()[:, 0]
    labels = by_micro_batch(sample.labels, len(sampler.counts), micro) - sampler.first_slot
    own = np.flatnonzero((labels >= 0) & (labels < sampler.count))
    columns = labels[own]
    if number is not None:
        number, chosen = number.to_local(), nearest.to_local().numpy()[own].argmax(axis=1)
    if on_host and not slopes.is_cuda:
        slopes, directions = slopes.numpy(), directions.numpy() * np.float32(weight)
        slopes[own, columns] = targets.numpy()[own]
        if number is None:
            return lambda slots: slopes[:, slots].T @ directions
        number = number.numpy()
        number[own, columns] = chosen

        def of_nearest(slots: slice) -> np.ndarray:
            part, which = slopes[:, slots].T, number[:, slots].T
            return np.stack([(part * (which == k)) @ directions for k in range(shape[0])], axis=1)

        return of_nearest
    if len(own):
        place, columns = (flow.tensor(index).to(slopes.device) for index in (own, columns))
        slopes[place, columns] = targets[place].to(slopes.dtype)
        if number is not None:
            number[place, columns] = flow.tensor(chosen).to(number.device).to(number.dtype)

    def gradient_of(slots: slice) -> flow.Tensor:
        part = slopes[:, slots]
        if number is None:
            return flow.matmul(part, directions, transpose_a=True).to(flow.float32) * weight
        parts = [part * flow.eq(number[:, slots], k).to(part.dtype) for k in range(shape[0])]
        products = [flow.matmul(each, directions, transpose_a=True).unsqueeze(1) for each in parts]
        return flow.cat(products, dim=1).to(flow.float32) * weight

    return _Fetched(gradient_of, sampler.count) if on_host else gradient_of


def whole_gradient(shape: tuple[int, ...], on_host: bool, micro: int, gradient: flow.Tensor) -> Gradient:
    """The mean of `micro` gradients one below the other, (micro * C, centers * width), of a replicated head."""
    gradient = gradient.to_local()
    if micro > 1:
        gradient = gradient.reshape(micro, -1, gradient.shape[1]).mean(dim=0)
    gradient = gradient.reshape(-1, *shape)
    return (gradient.numpy() if on_host else gradient).__getitem__
