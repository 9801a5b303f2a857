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
    parameters: flow.Tensor | None = None,
) -> Gradient:
    """``weight * slopes.T @ directions`` with the targets' slopes in their slots, of a model-parallel head; and at the
    end of centers the gradients of each row's parameters, summed over rows and averaged over `micro`.

    shape: of a class in the store, on_host: where that is. The tensors are `ClassSoftmax.forward`'s results, of
    `micro` micro-batches one below the other.
    """
    slopes, directions, targets = slopes.to_local(), directions.to_local(), target_slopes.to_local()[:, 0]
    labels = by_micro_batch(sample.labels, len(sampler.counts), micro) - sampler.first_slot
    own = np.flatnonzero((labels >= 0) & (labels < sampler.count))
    columns, chosen = labels[own], None
    if number is not None and nearest is not None:
        number, chosen = number.to_local(), nearest.to_local().numpy()[own].argmax(axis=1)
    if on_host and not slopes.is_cuda:
        slopes, directions = slopes.numpy(), directions.numpy() * np.float32(weight)
        slopes[own, columns] = targets.numpy()[own]
        gradient_of = _host_product(slopes, directions)
        if number is not None:
            number = number.numpy()
            number[own, columns] = chosen
            gradient_of = _host_products(slopes, directions, number, shape[0])
    else:
        if len(own):
            place, index = (flow.tensor(each).to(slopes.device) for each in (own, columns))
            slopes[place, index] = targets[place].to(slopes.dtype)
            if number is not None:
                number[place, index] = flow.tensor(chosen).to(number.device).to(number.dtype)
        gradient_of = _device_products(slopes, directions, number, shape[0], weight)
        gradient_of = _Fetched(gradient_of, sampler.count) if on_host else gradient_of
    if parameters is None:
        return gradient_of
    device = None if on_host else slopes.device
    return _WithParameters(gradient_of, shape, device, columns, chosen, parameters.to_local().numpy()[own] / micro)


def _host_product(slopes: np.ndarray, directions: np.ndarray) -> Gradient:
    return lambda slots: slopes[:, slots].T @ directions


def _host_products(slopes: np.ndarray, directions: np.ndarray, number: np.ndarray, centers: int) -> Gradient:
    """Of several centers: each gets the slopes of the rows it is nearest to."""

    def gradient_of(slots: slice) -> np.ndarray:
        part, which = slopes[:, slots].T, number[:, slots].T
        return np.stack([(part * (which == k)) @ directions for k in range(centers)], axis=1)

    return gradient_of


def _device_products(
    slopes: flow.Tensor, directions: flow.Tensor, number: flow.Tensor | None, centers: int, weight: float
) -> Gradient:
    def gradient_of(slots: slice) -> flow.Tensor:
        part = slopes[:, slots]
        if number is None:
            return flow.matmul(part, directions, transpose_a=True).to(flow.float32) * weight
        parts = [part * flow.eq(number[:, slots], k).to(part.dtype) for k in range(centers)]
        products = [flow.matmul(each, directions, transpose_a=True).unsqueeze(1) for each in parts]
        return flow.cat(products, dim=1).to(flow.float32) * weight

    return gradient_of


class _WithParameters:
    """A gradient, and what parameters at the end of some centers add to it. device: where it is, None for NumPy.

    columns: (n,) slots, and chosen: (n,) which of their centers or None, of the rows whose `values`, (n, parameters)
    float32, are added up.
    """

    def __init__(
        self,
        gradient_of: Gradient,
        shape: tuple[int, ...],
        device: flow.device | None,
        columns: np.ndarray,
        chosen: np.ndarray | None,
        values: np.ndarray,
    ) -> None:
        self._gradient_of, self._device = gradient_of, device
        self._slots, which = np.unique(columns, return_inverse=True)
        self._sums = np.zeros((len(self._slots), *shape), np.float32)
        index = (which,) if chosen is None else (which, chosen)
        np.add.at(self._sums[..., shape[-1] - values.shape[1] :], index, values)

    def __call__(self, slots: slice) -> np.ndarray | flow.Tensor:
        gradient = self._gradient_of(slots)
        first, last = np.searchsorted(self._slots, [slots.start, slots.stop])
        if first < last:
            rows, sums = self._slots[first:last] - slots.start, self._sums[first:last]
            if self._device is not None:
                rows, sums = (flow.tensor(each).to(self._device) for each in (rows, sums))
            gradient[rows] = gradient[rows] + sums
        return gradient


def whole_gradient(
    labels: np.ndarray,
    shape: tuple[int, ...],
    on_host: bool,
    micro: int,
    gradient: flow.Tensor,
    nearest: flow.Tensor | None = None,
    parameters: flow.Tensor | None = None,
) -> Gradient:
    """The mean of `micro` gradients one below the other, (micro * C, centers * width), of a replicated head; and at the
    end of centers those of each row's parameters, as `factored_gradient`. labels: (B,) `by_micro_batch`.
    """
    gradient = gradient.to_local()
    if micro > 1:
        gradient = gradient.reshape(micro, -1, gradient.shape[1]).mean(dim=0)
    gradient = gradient.reshape(-1, *shape)
    gradient_of = (gradient.numpy() if on_host else gradient).__getitem__
    if parameters is None:
        return gradient_of
    chosen = None if nearest is None else nearest.to_local().numpy().argmax(axis=1)
    values = parameters.to_local().numpy() / micro
    return _WithParameters(gradient_of, shape, None if on_host else gradient.device, labels, chosen, values)
