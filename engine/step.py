"""A training step: the backbone's, and then the class centers'."""

from collections.abc import Mapping

import numpy as np
import oneflow as flow

from engine.eager import EagerStep
from engine.graph import GraphStep, with_own_names
from engine.schedule import Schedule
from heads.class_parallel import ClassParallelHead
from heads.sampling import Sample
from utils.runtime import Runtime, local_array

_LOSS = "loss."


class TrainStep:
    """Draws the classes of a step, runs `GraphStep` or `EagerStep` on them, and trains their centers.

    inner: the step of backbone and head. The numbers that the head's margin carries from step to step go in and come
    out of each, since a compiled step cannot write them down. prefetch: the centers of the next step are fetched from
    their store while the device is busy with this one, if the next labels are known; the few that this step trains are
    then fetched again. gradient_acc: micro-batches that `inner` returns, one below the other.

    Under AMP the backbone leaves out a step whose gradients overflow, and its schedule waits. The centers' rate
    follows as soon as `count_updates` has been called; in between it is ahead by the steps left out since.
    """

    def __init__(
        self,
        inner: GraphStep | EagerStep,
        head: ClassParallelHead,
        schedule: Schedule,
        runtime: Runtime,
        gradient_acc: int = 1,
        prefetch: bool = False,
    ) -> None:
        self._inner, self._head, self._schedule, self._runtime = inner, head, schedule, runtime
        self._gradient_acc, self._prefetch = gradient_acc, prefetch and not head.sampler.takes_all
        self._step = 0
        self._set_loss_state(head.margin.state)
        self._waiting: dict[str, np.ndarray] = {}  # the state of a backbone that is frozen at present
        self.skipped = 0  # steps that the backbone has left out, as far as counted
        self._ahead: tuple[Sample, np.ndarray] | None = None  # of the coming step: its sample and centers

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, upcoming: np.ndarray | None = None
    ) -> dict[str, flow.Tensor]:
        """This rank's rows, images (B / ranks, 3, 112, 112) and labels (B / ranks,) -> the losses as `TrainGraph`'s.

        upcoming: this rank's labels of the next batch.
        """
        step, lr, runtime = self._step, self.rate(self._step), self._runtime
        sample, fetched = self._ahead or (self._draw(labels, step), None)
        self._head.place(sample, step, lr, fetched)
        following = self._draw(upcoming, step + 1) if self._prefetch and upcoming is not None else None
        outputs = self._inner.run(images, np.split(sample.labels, runtime.ranks)[runtime.rank], self._loss_state)
        self._loss_state = {name: self._averaged(values) for name, values in outputs["state"].items()}
        self._ahead = None
        if following:
            self._ahead = following, self._head.fetch(following, step + 1, self.rate(step + 1))
        self._head.update(sample, outputs["results"], step, lr, self._gradient_acc)
        if self._ahead:
            self._head.refetch(*self._ahead, sample, step + 1, self.rate(step + 1))
        self._step += 1
        return outputs["losses"]

    def _set_loss_state(self, values: Mapping[str, float]) -> None:
        whole = {"placement": self._runtime.placement, "sbp": flow.sbp.broadcast}
        self._loss_state = {
            name: flow.full((self._gradient_acc,), float(value), dtype=flow.float32, **whole)
            for name, value in values.items()
        }

    def _averaged(self, values: flow.Tensor) -> flow.Tensor:
        """(gradient_acc,) -> the same shape: micro-batches begin alike and end at their mean."""
        return values if self._gradient_acc == 1 else values.mean(dim=0, keepdim=True).expand(*values.shape)

    def _draw(self, labels: np.ndarray, step: int) -> Sample:
        return self._head.sampler.draw(step, self._runtime.exchange(labels).reshape(-1))

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0, as far as is known how many have been left out."""
        return self._schedule.at(step - self.skipped)

    def count_updates(self) -> None:
        """Finds out how many steps have been left out. A collective; waits for the steps under way."""
        self.skipped = self._step - self._inner.updates()

    def state(self) -> dict[str, np.ndarray]:
        """The backbone's, as `GraphStep.state`, or what was restored of it if it is frozen at present, and that of the
        loss, (1,) each, as "loss.NAME". The centers' momentum is in the head's store. A collective.
        """
        own = {f"{_LOSS}{name}": local_array(values)[:1].copy() for name, values in self._loss_state.items()}
        counted = {"updates": np.array([self._step - self.skipped])}
        return self._waiting | counted | self._inner.state() | own

    def restore(self, step: int, state: dict[str, np.ndarray]) -> None:
        """Goes on after `step` steps, with a state as `state()` gave it; before the first call."""
        state = with_own_names(state)
        own = {name.removeprefix(_LOSS): array for name, array in state.items() if name.startswith(_LOSS)}
        backbone = {name: array for name, array in state.items() if not name.startswith(_LOSS)}
        self._waiting = {} if self._inner.trains else backbone
        self._step, self._ahead = step, None
        self.skipped = step - int(state["updates"][0]) if "updates" in state else 0
        self._inner.restore(step, backbone)
        self._set_loss_state({name: own.get(name, value) for name, value in self._head.margin.state.items()})
