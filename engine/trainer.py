"""A run: the loop, and the state it carries."""

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import oneflow as flow

from data.batch import Batch
from engine.batchnorm import averaged_state
from engine.checkpoint import Checkpoint
from engine.clock import TrainingClock
from engine.epoch_stop import EpochStop
from engine.identity import check_same_classes, check_same_run, phase_of, written_with
from engine.in_flight import StepsInFlight
from engine.modules import build_modules
from engine.network import load_pretrained
from engine.phase import Phase, make_phases, phase_at
from engine.phase_step import carried_state, check_phase, make_step, trained_with
from engine.step import TrainStep
from engine.stop import StopSignal
from engine.upcoming import with_upcoming
from heads.build import build_store, change_store
from heads.class_means import ClassMeans
from heads.class_parallel import ClassParallelHead
from heads.stores.store import RowStore
from utils.config.phases import resolve_phases
from utils.runtime import Runtime


class Trainer:
    """Trains `cfg.network` in the phases of `cfg`, on what `make_loader(config of a phase)` gives.

    Hooks see it after every step: `step` (done so far), `losses` of the last step by name, and `loss`, still on the
    device, `batch`, this rank's share of its images on the host, `phase`, `best` and `best_step` (highest accuracy on
    the first verification set, and when), `best_of` (the same of every set by its name), `finished`, and `after_epoch`
    if the user has ended the run after an epoch.
    """

    def __init__(self, cfg, runtime: Runtime, make_loader: Callable) -> None:
        self.cfg, self.runtime = cfg, runtime
        self.output = Path(cfg.output)
        first = make_loader(resolve_phases(cfg)[0])
        self.num_classes, self.data_digest = first.num_classes, first.data_digest
        self.phases = make_phases(cfg, first.num_image, runtime.ranks)
        self.loaders = [first, *(make_loader(phase.cfg) for phase in self.phases[1:])]  # so that each is checked now
        self.phase, self.total_steps = self.phases[0], self.phases[-1].stop
        self.step, self.best, self.best_step = 0, 0.0, 0
        self.best_of: dict[str, tuple[float, int]] = {}
        self.after_epoch = False
        self.losses: dict[str, flow.Tensor] = {}
        self.batch: Batch | None = None
        self.clock, self.in_flight = TrainingClock(), StepsInFlight(runtime)
        self.modules = build_modules(cfg, runtime, self.loaders)
        self.backbone = self.modules.backbone
        for phase in self.phases:
            check_phase(phase.cfg, self.backbone, self.modules.projection is not None)
        self.class_means: ClassMeans | None = None  # of a loss that compares with them
        # There from `resume` or `start_from` on:
        self.store: RowStore
        self.head: ClassParallelHead
        self.train_step: TrainStep

    def start_phase(self, phase: Phase) -> None:
        """Makes the step of a phase."""
        self.phase = phase
        parts = self.modules, self.store, self.class_means
        self.head, self.train_step = make_step(phase, *parts, self.num_classes, self.runtime)
        self.class_means = self.train_step.means

    def _next_phase(self, state: dict[str, np.ndarray]) -> None:
        """Goes over into the phase after the present one, which ended with `state` (`TrainStep.state`)."""
        before, after = self.phase, phase_at(self.phases, self.step)
        centers = change_store(self.store, after.cfg, self.step)
        self.start_phase(after)
        kept = carried_state(state, trained_with(before.cfg), trained_with(after.cfg), centers)
        self.train_step.restore(self.step, kept)
        self.in_flight = StepsInFlight(self.runtime)

    @property
    def finished(self) -> bool:
        return self.step >= self.total_steps

    @property
    def loss(self) -> flow.Tensor:
        return self.losses["loss"]

    def fit(self, hooks: list) -> bool:
        """Trains to the end, or until the user stops it; says which by returning `finished`."""
        with EpochStop(self.runtime, self.output) as epoch_stop, StopSignal(self.runtime) as stop:
            for hook in hooks:
                hook.on_start(self)
            while not self.finished and self._train_phase(hooks, stop, epoch_stop) and not self.finished:
                with self.paused():
                    self._next_phase(self.train_step.state())
                for hook in hooks:
                    hook.on_phase(self)
            for hook in hooks:
                hook.on_end(self)
        return self.finished

    def _train_phase(self, hooks: list, stop: StopSignal, epoch_stop: EpochStop) -> bool:
        """Trains to the phase's end; False if the user has stopped the run before."""
        batches = self.loaders[self.phase.number].batches(*self.phase.batches(self.step))
        for batch, upcoming in with_upcoming(batches):
            done = self.step + 1
            logged = done % self.cfg.frequent == 0 or done == self.phase.stop
            self.losses = self.train_step(batch, upcoming, logged)
            self.step, self.batch = done, batch
            due = self.in_flight.launched(self.loss)
            for hook in hooks:
                hook.after_step(self)
            if stop.agreed(due):
                return False
            if self.phase.ends_epoch(done) and epoch_stop.agreed():
                self.after_epoch = True
                return False
        return True

    @contextmanager
    def paused(self):
        """Time spent inside counts as no training time; it begins when the steps under way have ended."""
        with self.clock.paused(self.in_flight):
            yield

    def backbone_state(self) -> dict[str, np.ndarray]:
        """The backbone for evaluation and others, equal on all ranks. A collective."""
        return averaged_state(self.backbone, self.runtime)

    def resume(self, checkpoint: Checkpoint) -> str | None:
        """Goes on from a checkpoint, written by any number of ranks; before the first step. Returns a warning or None.

        Raises UserError if it is of another run: other network, classes, global batch, data or seed.
        """
        about, state = checkpoint.about, checkpoint.state()
        self.phase = phase_of(about, self.phases)
        taught_by = self.modules.taught_by
        notes = [check_same_run(checkpoint, self.cfg, self.num_classes, self.phase, self.data_digest, taught_by)]
        self.modules.restore(checkpoint, state, self.runtime)
        self.step, self.best, self.best_step = about["step"], about["best"], about["best_step"]
        self.best_of = {name: tuple(best) for name, best in about.get("best_of", {}).items()}
        self.store = build_store(self.phase.cfg, self.num_classes, self.runtime)
        self.class_means = checkpoint.class_means(self.num_classes, self.runtime)
        notes.append(self.store.restore(checkpoint.centers()))
        state = carried_state(state, written_with(about, self.phase), trained_with(self.phase.cfg))
        if self.step == self.phase.stop and not self.finished:
            self._next_phase(state)
        else:
            self.start_phase(self.phase)
            self.train_step.restore(self.step, state)
        return ". ".join(note for note in notes if note) or None

    def start_from(self, backbone: Path | None, head: Checkpoint | None) -> None:
        """Takes the weights of a trained backbone, and the class centers of a checkpoint; before the first step.

        Raises UserError if they are of another network, embedding size or number of classes.
        """
        if backbone:
            load_pretrained(self.backbone, backbone, self.cfg)
        self.store = build_store(self.phase.cfg, self.num_classes, self.runtime)
        if head:
            check_same_classes(head, self.cfg, self.num_classes)
            self.store.start_from(head.centers())
        else:
            self.store.begin()
        self.start_phase(self.phase)
