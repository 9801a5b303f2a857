"""What happens around the steps: progress, verification, checkpoints. All ranks run the same hooks in one order."""

import logging
import sys
from collections.abc import Callable
from functools import partial

import oneflow as flow

from deploy.embedder import Embedder
from deploy.input_format import own_format
from deploy.weights import save_backbone
from engine.facts import best_facts
from engine.measures import mean_loss, mean_of
from engine.network import image_shape
from engine.plan import describe_phase
from engine.snapshot import save_run
from engine.trainer import Trainer
from evaluation.bin_set import BinSet
from evaluation.embed import describe, verify_set
from tracking.records import Records
from utils.durations import duration
from utils.progress import Bar


class Hook:
    """Something that looks at the trainer before the first step, after every step, and after the last."""

    def on_start(self, trainer: Trainer) -> None: ...

    def on_phase(self, trainer: Trainer) -> None:
        """At the beginning of each phase but the first one of the process."""

    def after_step(self, trainer: Trainer) -> None: ...

    def on_end(self, trainer: Trainer) -> None: ...


class Progress(Hook):
    """Speed, loss, learning rate and time left: a tqdm bar on a terminal, a line in the log every `frequent` steps.

    The losses in between stay on the device, and their mean is read once per line. The accuracy is the last step's.
    """

    def __init__(self, frequent: int, logger: logging.Logger, records: Records | None) -> None:
        self._frequent, self._logger, self._records = frequent, logger, records
        self._losses: list[dict[str, flow.Tensor]] = []
        self._bar: Bar | None = None

    def on_start(self, trainer: Trainer) -> None:
        self._restart_clock(trainer)
        if len(trainer.phases) > 1:
            self.on_phase(trainer)
        if trainer.runtime.is_main and sys.stdout.isatty():
            self._bar = Bar(
                total=trainer.total_steps, initial=trainer.step, desc="Training", unit="steps", file=sys.stdout
            )

    def after_step(self, trainer: Trainer) -> None:
        self._losses.append(trainer.losses)
        if self._bar:
            self._bar.update()
        # The last line comes before the pauses of its step, as all do: up to the same point of a step, its loss.
        if trainer.step % self._frequent == 0 or trainer.step == trainer.phase.stop:
            self._report(trainer)

    def on_phase(self, trainer: Trainer) -> None:
        self._logger.info(describe_phase(trainer.phase, trainer.phases))

    def on_end(self, trainer: Trainer) -> None:
        if self._losses:
            self._report(trainer)
        if self._bar:
            self._bar.close()

    def _restart_clock(self, trainer: Trainer) -> None:
        self._since = trainer.clock.seconds
        self._losses = []

    def _report(self, trainer: Trainer) -> None:
        total = [losses["loss"] for losses in self._losses]
        loss = mean_loss(total, trainer.runtime, trainer.step, trainer.cfg.fp16)
        parts = {
            name: mean_of([losses[name] for losses in self._losses], trainer.runtime)
            for name in self._losses[0]
            if name != "loss"
        }
        seconds = trainer.clock.seconds - self._since
        rate = len(self._losses) / seconds
        skipped, accuracy = _count_skipped(trainer), trainer.train_step.accuracy
        lr = trainer.phase.rate(trainer.step - 1)
        left = (trainer.total_steps - trainer.step) / rate
        epoch = trainer.phase.epoch(trainer.step - 1)
        speed = rate * trainer.phase.global_batch
        self._logger.info(
            f"Speed {speed:,.2f} samples/sec   Loss {loss:.4f}   LearningRate {lr:.6f}   Epoch: {epoch}   "
            f"Global Step: {trainer.step}/{trainer.total_steps}   Required: {duration(left)}"
            + (f"   Phase: {trainer.phase.number + 1}/{len(trainer.phases)}" if len(trainer.phases) > 1 else "")
            + "".join(f"   {name}: {value:.4f}" for name, value in parts.items())
            + (f"   Accuracy: {accuracy:.4f}" if accuracy is not None else "")
            + (f"   Skipped: {skipped}" if skipped else ""),
            extra={"file_only": self._bar is not None},
        )
        if self._bar:
            self._bar.set_postfix(loss=f"{loss:.3f}", lr=f"{lr:.4f}", epoch=epoch, img_s=f"{speed:,.0f}")
        if self._records:
            figures = {"loss": loss, "learning_rate": lr, "samples_per_second": speed}
            figures |= {f"loss/{name}": value for name, value in parts.items()}
            figures |= {"accuracy": accuracy} if accuracy is not None else {}
            self._records.add(trainer.step, {f"train/{name}": value for name, value in figures.items()})
        self._restart_clock(trainer)


def _count_skipped(trainer: Trainer) -> int:
    """Steps that the backbone has left out so far. A collective. Under AMP it waits for the steps under way."""
    if trainer.cfg.fp16:
        trainer.train_step.count_updates()
    return trainer.train_step.skipped


class Verification(Hook):
    """Accuracy on the verification sets every `verbose` steps (0: only at the end) and when the run is complete.

    Each rank embeds a share of every set. The first set says which backbone is the best so far; each has its own, too.
    """

    def __init__(self, sets: dict[str, BinSet], verbose: int, logger: logging.Logger, records: Records | None) -> None:
        self._sets, self._verbose, self._logger, self._records = sets, verbose, logger, records
        self._embedder: Embedder | None = None

    def on_start(self, trainer: Trainer) -> None:
        for first in list(self._sets)[:1]:  # older checkpoints remember its best alone
            trainer.best_of[first] = trainer.best, trainer.best_step

    def after_step(self, trainer: Trainer) -> None:
        if trainer.finished or (self._verbose and trainer.step % self._verbose == 0):
            self._verify(trainer)

    def _verify(self, trainer: Trainer) -> None:
        if not self._sets:
            return
        with trainer.paused():
            cfg, runtime = trainer.cfg, trainer.runtime
            state = trainer.backbone_state()
            if self._embedder is None:
                self._embedder = Embedder(cfg.network, cfg.embedding_size, runtime.device, own_format(image_shape(cfg)))
            self._embedder.load(state)
            shared = {"rank": runtime.rank, "ranks": runtime.ranks, "gather": runtime.gather_rows}
            for number, (name, images) in enumerate(self._sets.items()):
                result = verify_set(self._embedder, images, cfg.val_batch_size, **shared)
                if result.accuracy > trainer.best_of.setdefault(name, (0.0, 0))[0]:
                    trainer.best_of[name] = result.accuracy, trainer.step
                    if number == 0:
                        trainer.best, trainer.best_step = trainer.best_of[name]
                for line in describe(name, result, trainer.step):
                    self._logger.info(line)
                self._logger.info(f"[{name}][{trainer.step}]Accuracy-Highest: {trainer.best_of[name][0]:.5f}")
                if self._records:
                    figures = {"accuracy": float(result.accuracy), "tar_at_far_1e-3": float(result.tar)}
                    named = {f"verification/{name}/{figure}": value for figure, value in figures.items()}
                    self._records.add(trainer.step, named)
            if self._records:
                self._records.describe(best_facts(trainer))


class Checkpoints(Hook):
    """A checkpoint every `save_interval` steps, at each epoch's end, at the best accuracy and when the run ends.

    The backbone alone (`output/backbone.safetensors`) is written at each epoch's end and at the run's, and the best
    one into `output/best`; with several verification sets, the best one on each into `output/best/NAME`. A disk that is
    full costs the checkpoint, not the run.
    """

    def __init__(self, save_interval: int, all_states: bool, logger: logging.Logger) -> None:
        self._interval, self._all_states, self._logger = save_interval, all_states, logger
        self._tried_at = -1
        self.saved = True  # whether the last try succeeded

    def after_step(self, trainer: Trainer) -> None:
        ends_epoch = trainer.phase.ends_epoch(trainer.step)
        due = self._interval and trainer.step % self._interval == 0
        if ends_epoch or due or trainer.best_step == trainer.step:
            self._save(trainer, weights=ends_epoch)
        elif any(step == trainer.step for _, step in trainer.best_of.values()):
            self._save(trainer, weights=False, states=False)  # no checkpoint: with many sets there would be many

    def on_end(self, trainer: Trainer) -> None:
        if self._tried_at != trainer.step or not self.saved:
            self._save(trainer, weights=True)

    def _save(self, trainer: Trainer, weights: bool, states: bool = True) -> None:
        self.saved = True
        if states:
            self._tried_at = trainer.step
        with trainer.paused():
            # weights that are no numbers are not worth saving
            mean_loss([trainer.loss], trainer.runtime, trainer.step, trainer.cfg.fp16)
            state = trainer.backbone_state()
            if self._all_states and states:
                self._try(lambda: self._logger.info(f"Checkpoint: {save_run(trainer, state)}"), trainer)
            if trainer.runtime.is_main:
                for folder in self._folders(trainer, weights):
                    place, cfg = trainer.output / folder, trainer.cfg
                    taken = own_format(image_shape(cfg))
                    save = partial(save_backbone, place, state, cfg.network, cfg.embedding_size, taken)
                    self._try(partial(save, step=trainer.step), trainer)

    def _folders(self, trainer: Trainer, weights: bool) -> list[str]:
        """Below the output, where the backbone of this step belongs."""
        folders = [""] if weights else []
        if trainer.best_step == trainer.step:
            folders.append("best")
        if len(trainer.best_of) > 1:
            folders += [f"best/{name}" for name, (_, step) in trainer.best_of.items() if step == trainer.step]
        return folders

    def _try(self, write: Callable[[], object], trainer: Trainer) -> None:
        try:
            write()
        except OSError as error:
            self.saved = False
            self._logger.warning(f"Could not save at step {trainer.step}: {error}")
