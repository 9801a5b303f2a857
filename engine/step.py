"""A training step: the backbone's, and then the class centers'."""

from collections.abc import Callable, Mapping

import numpy as np
import oneflow as flow

from backbones.drawn import Draws
from data.batch import Batch
from engine.eager import EagerStep
from engine.graph import GraphStep
from heads.class_means import ClassMeans
from heads.class_parallel import ClassParallelHead
from heads.gradients import by_micro_batch
from heads.sampling import Sample
from optim.parameters import CENTERS, ParameterRules
from utils.random_places import standard_normal
from utils.runtime import Runtime, local_array

_LOSS = "loss."


class TrainStep:
    """Draws the classes of a step, runs `GraphStep` or `EagerStep` on them, and trains their centers.

    inner: the step of backbone and head. The numbers that the head's margin carries from step to step go in and come
    out of each, since a compiled step cannot write them down. rate: the learning rate of a step, counted from 0, by
    which both backbone and centers train. rules: of `CENTERS` here. gradient_acc: micro-batches that `inner` returns,
    one below the other. seed: of the random numbers of a margin that wants some, and of the backbone's layers that draw
    (`draws`); wants_classes: whether there are
    losses that look at classes and records; means: of classes, for a loss that compares with them.

    Where a store is worth it, the centers of the next step are fetched while the device is busy with this one, if the
    next labels are known; the few that this step trains are then fetched again.
    """

    def __init__(
        self,
        inner: GraphStep | EagerStep,
        head: ClassParallelHead,
        rate: Callable[[int], float],
        rules: ParameterRules,
        runtime: Runtime,
        gradient_acc: int = 1,
        seed: int = 0,
        wants_classes: bool = False,
        means: ClassMeans | None = None,
        draws: Draws | None = None,
    ) -> None:
        self.rate, self.means = rate, means
        self._inner, self._head, self._runtime, self._gradient_acc = inner, head, runtime, gradient_acc
        self._prefetch = head.store is not None and head.store.prefetches and not head.sampler.takes_all
        self._trains_centers, self._centers_rate = rules.trains(CENTERS), rules.terms(CENTERS, 2).rate
        self._seed, self._wants_classes, self._draws = seed, wants_classes, draws
        self.accuracy: float | None = None  # of the last step, if it was asked for
        self._step = self._first = 0
        self._center_updates = 0  # since the optimizer's slots of the centers were zeros
        self._loss_state = self._as_tensors(head.margin.state)
        self._waiting: dict[str, np.ndarray] = {}  # the state of a backbone that is frozen at present
        self.skipped = 0  # steps that the backbone has left out, as far as counted
        self._counted_from = 0  # `skipped` is 0 for a run that has done so many steps more than updates
        self._ahead: tuple[Sample, np.ndarray] | None = None  # of the coming step: its sample and centers

    def __call__(
        self,
        batch: Batch,
        upcoming: np.ndarray | None = None,
        logged: bool = False,
    ) -> dict[str, flow.Tensor]:
        """This rank's B / ranks rows -> the losses as `TrainGraph`'s.

        upcoming: this rank's labels of the next batch. logged: `accuracy` is wanted, for which the host waits.
        """
        step, runtime = self._step, self._runtime
        lr, next_lr = (self.rate(at) * self._centers_rate for at in (step, step + 1))
        sample, fetched = self._ahead or (self._draw(batch.labels, step), None)
        self._head.place(sample, step, lr, fetched)
        following = self._draw(upcoming, step + 1) if self._prefetch and upcoming is not None else None
        slots = np.split(sample.labels, runtime.ranks)[runtime.rank]
        inputs = self._inputs(batch)
        if self.means:
            classes = runtime.exchange(batch.labels).reshape(-1)
            inputs["means"] = np.split(self.means.of(classes), runtime.ranks)[runtime.rank]
        outputs = self._inner.run(batch.images, slots, self._loss_state, inputs, self.rate(step))
        self._loss_state = {name: self._averaged(values) for name, values in outputs["state"].items()}
        self._ahead = None
        if following:
            self._ahead = following, self._head.fetch(following, step + 1, next_lr)
        results = dict(outputs["results"])
        if self.means:
            embeddings = results.pop("embeddings").to_local().numpy()
            self.means.follow(by_micro_batch(classes, runtime.ranks, self._gradient_acc), embeddings)
        self.accuracy = self._head.accuracy(sample, results, runtime, self._gradient_acc) if logged else None
        if self._trains_centers:
            self._head.update(sample, results, step, lr, self._center_updates, self._gradient_acc)
            self._center_updates += 1
            if self._ahead:
                self._head.refetch(*self._ahead, sample, step + 1, next_lr)
        self._step += 1
        return outputs["losses"]

    def _inputs(self, batch: Batch) -> dict[str, np.ndarray]:
        """What the step needs besides images and slots, as `Classifier` has it."""
        inputs = {"classes": batch.labels, "records": batch.records} if self._wants_classes else {}
        if batch.mirrored is not None:
            inputs["mirrored"] = batch.mirrored.astype(np.int8)
        if self._head.margin.is_random:
            numbers = standard_normal([self._seed, self._step], batch.records)
            inputs["random"] = numbers.astype(np.float32)[:, None]
        if batch.teacher is not None:
            inputs["teacher"] = batch.teacher
        if self._draws:
            inputs |= self._draws.draw(self._seed, self._step, batch.records)
        return inputs

    def _as_tensors(self, values: Mapping[str, float]) -> dict[str, flow.Tensor]:
        """The loss's state -> (gradient_acc,) float32 broadcast each."""
        whole = {"placement": self._runtime.placement, "sbp": flow.sbp.broadcast}
        return {
            name: flow.full((self._gradient_acc,), value, dtype=flow.float32, **whole) for name, value in values.items()
        }

    def _averaged(self, values: flow.Tensor) -> flow.Tensor:
        """(gradient_acc,) -> the same shape: micro-batches begin alike and end at their mean."""
        return values if self._gradient_acc == 1 else values.mean(dim=0, keepdim=True).expand(*values.shape)

    def _draw(self, labels: np.ndarray, step: int) -> Sample:
        return self._head.sampler.draw(step, self._runtime.exchange(labels).reshape(-1))

    def count_updates(self) -> None:
        """Finds out how many steps have been left out, as AMP does if gradients overflow. A collective; waits for the
        steps under way.
        """
        if self._inner.trains and self._step > self._first:
            self.skipped = self._step - self._inner.updates() - self._counted_from

    def state(self) -> dict[str, np.ndarray]:
        """The backbone's, as `GraphStep.state`, or what was restored of it if it is frozen at present; that of the
        loss, (1,) each, as "loss.NAME"; and counts, (1,) int64 each. A collective.
        """
        self.count_updates()
        own = {f"{_LOSS}{name}": local_array(values)[:1].copy() for name, values in self._loss_state.items()}
        counts = {"skipped": np.array([self.skipped]), "center_updates": np.array([self._center_updates])}
        return self._waiting | self._inner.state() | own | counts

    def restore(self, step: int, state: Mapping[str, np.ndarray]) -> None:
        """Goes on after `step` steps, with a state as `state()` gave it, or parts of it; before the first call."""
        own = {name.removeprefix(_LOSS): array for name, array in state.items() if name.startswith(_LOSS)}
        backbone = {name: array for name, array in state.items() if not name.startswith(_LOSS)}
        self._waiting = {} if self._inner.trains else backbone
        self._step = self._first = step
        self._ahead = None
        self._inner.restore(backbone)
        self.skipped, self._center_updates = (
            int(state[name][0]) if name in state else 0 for name in ("skipped", "center_updates")
        )
        updates = int(state["updates"][0]) if "updates" in state else 0
        self._counted_from = step - updates - self.skipped
        first = self._head.margin.state
        self._loss_state = self._as_tensors({name: float(own.get(name, value)) for name, value in first.items()})
