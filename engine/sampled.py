"""The training step of a head whose class centres are sampled."""

import numpy as np
import oneflow as flow

from engine.eager import EagerStep
from engine.graph import GraphStep
from engine.schedule import Schedule
from heads.sampled import SampledHead
from heads.sampling import Sample
from utils.runtime import Runtime


class SampledStep:
    """`GraphStep` or `EagerStep` over a `SampledHead`: draws the classes of a step, runs it, and trains them.

    inner: the step of backbone and head. prefetch: the centres of the next step are fetched from their store while
    the device is busy with this one, where the next labels are known; the few that this step trains are then fetched
    again. gradient_acc: micro-batches that `inner` returns, one below the other.
    """

    def __init__(
        self,
        inner: GraphStep | EagerStep,
        head: SampledHead,
        schedule: Schedule,
        runtime: Runtime,
        gradient_acc: int = 1,
        prefetch: bool = False,
    ) -> None:
        self._inner, self._head, self._schedule, self._runtime = inner, head, schedule, runtime
        self._gradient_acc, self._prefetch = gradient_acc, prefetch
        self._step = 0
        self._ahead: tuple[Sample, np.ndarray] | None = None  # of the coming step: its sample and centres

    def __call__(self, images: np.ndarray, labels: np.ndarray, upcoming: np.ndarray | None = None) -> flow.Tensor:
        """As `GraphStep`; upcoming: this rank's labels of the next batch."""
        step, lr, runtime = self._step, self._schedule.at(self._step), self._runtime
        sample, fetched = self._ahead or (self._draw(labels, step), None)
        self._head.place(sample, step, lr, fetched)
        # Drawn before the step is launched: the ranks' exchange of labels would wait for its end.
        following = self._draw(upcoming, step + 1) if self._prefetch and upcoming is not None else None
        loss, *found = self._inner.run(images, np.split(sample.labels, runtime.ranks)[runtime.rank])
        self._ahead = None
        if following:
            self._ahead = following, self._head.fetch(following, step + 1, self._schedule.at(step + 1))
        self._head.update(sample, tuple(found), step, lr, self._gradient_acc)
        if self._ahead:
            self._head.refetch(*self._ahead, sample, step + 1, self._schedule.at(step + 1))
        self._step += 1
        return loss

    def _draw(self, labels: np.ndarray, step: int) -> Sample:
        rows = self._runtime.gather_rows(labels, [len(labels)] * self._runtime.ranks)
        return self._head.sampler.draw(step, rows)

    def state(self) -> dict[str, np.ndarray]:
        """The backbone's, as `GraphStep.state`; the centres' momentum is in the head's store."""
        return self._inner.state()

    def restore(self, step: int, state: dict[str, np.ndarray]) -> None:
        """As `GraphStep.restore`."""
        self._step, self._ahead = step, None
        self._inner.restore(step, state)
