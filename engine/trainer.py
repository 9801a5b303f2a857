"""A run: the loop, and the state it carries."""

import math
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import oneflow as flow

from backbones import get_model
from deploy.weights import check_fits, load_backbone, save_backbone
from engine.batchnorm import averaged_state, rank_statistics
from engine.checkpoint import Checkpoint, save_checkpoint
from engine.clock import TrainingClock
from engine.eager import EagerStep
from engine.graph import GraphStep
from engine.in_flight import StepsInFlight
from engine.model import Classifier
from engine.optim import build_sgd
from engine.schedule import Schedule
from engine.step import TrainStep
from engine.stop import StopSignal
from heads.build import build_head
from heads.mapped_rows import MappedRows
from utils.config import dump_config
from utils.errors import UserError
from utils.runtime import Runtime, write_local


class Trainer:
    """Trains `cfg.network` on what `loader` gives.

    Hooks see it after every step: `step` (done so far), `loss` (of the last step, still on the device), `schedule`,
    `best` and `best_step` (highest accuracy on the first verification set, and when), `finished`.
    """

    def __init__(self, cfg, runtime: Runtime, loader) -> None:
        self.cfg, self.runtime, self.loader = cfg, runtime, loader
        self.output = Path(cfg.output)
        self.checkpoints = self.output / "checkpoints"
        self.steps_per_epoch = loader.steps_per_epoch
        self.total_steps = loader.steps_per_epoch * cfg.num_epoch
        self.global_batch = cfg.batch_size * cfg.gradient_acc * runtime.ranks
        self.step, self.best, self.best_step = 0, 0.0, 0
        self.losses, self.loss = {}, None
        self.clock, self.in_flight = TrainingClock(), StepsInFlight(runtime)
        self.resume_note: str | None = None  # a warning of `resume` for the user

        flow.manual_seed(cfg.seed)
        self.backbone = get_model(cfg.network, cfg.embedding_size, cfg.dropout).train()
        if cfg.graph:
            self.backbone.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
        else:
            self.backbone.to(runtime.device)
        self.head = build_head(cfg, loader.num_classes, self.global_batch, runtime)
        self.schedule = Schedule.from_config(cfg, self.steps_per_epoch)
        # Made once it is known where the run starts: wrapped in DDP twice, a backbone would average twice.
        self.train_step: TrainStep | None = None

    def start_phase(self) -> None:
        """Makes the step of the current phase: head alone in the first `cfg.freeze_backbone` steps, then everything."""
        cfg = self.cfg
        self._frozen = self.step < cfg.freeze_backbone
        # A frozen backbone is used as it is, its BatchNorm statistics too.
        self.backbone.train(not self._frozen)
        optimizer = build_sgd(self.backbone, cfg, self._frozen)
        model = Classifier(self.backbone, self.head, self._frozen)
        micro = 1 if self._frozen else cfg.gradient_acc  # no gradient of the backbone, nothing to accumulate
        if cfg.graph:
            inner = GraphStep(model, optimizer, self.schedule, self.runtime, micro, cfg.fp16, bool(cfg.fused_ops))
        else:
            inner = EagerStep(model, optimizer, self.schedule, self.runtime, micro)
        travels = cfg.head_store == "mmap" or (cfg.head_store == "host" and self.runtime.device == "cuda")
        self.train_step = TrainStep(inner, self.head, self.schedule, self.runtime, micro, prefetch=travels)

    @property
    def finished(self) -> bool:
        return self.step >= self.total_steps

    def fit(self, hooks: list) -> bool:
        """Trains to the end, or until the user stops it; says which by returning `finished`."""
        if self.train_step is None:
            self.start_phase()
        with StopSignal(self.runtime) as stop:
            for hook in hooks:
                hook.on_start(self)
            for images, labels, upcoming in _with_upcoming(self.loader.batches(self.step, self.total_steps)):
                if self._frozen and self.step == self.cfg.freeze_backbone:
                    state = self.train_step.state()
                    self.start_phase()
                    self.train_step.restore(self.step, state)
                    self.in_flight = StepsInFlight(self.runtime)
                self.losses = self.train_step(images, labels, upcoming)
                self.loss = self.losses["loss"]
                self.step += 1
                due = self.in_flight.launched(self.loss)
                for hook in hooks:
                    hook.after_step(self)
                if stop.agreed(due):
                    break
            for hook in hooks:
                hook.on_end(self)
        return self.finished

    @contextmanager
    def paused(self):
        """Time spent inside counts as no training time; it begins when the steps under way have ended."""
        with self.clock.paused(self.in_flight):
            yield

    def mean_loss(self, losses: list[flow.Tensor]) -> float:
        """The mean of the losses of some steps, read from the device. A collective.

        Raises UserError, on all ranks, if it is no number.
        """
        value = self.mean_of(losses)
        if not math.isfinite(value):
            hint = "fp16=False" if self.cfg.fp16 else "clip_grad_norm=5.0"
            raise UserError(
                f"the loss is {value} by step {self.step}; try a smaller lr, a longer warmup_epoch, or {hint}"
            )
        return value

    def mean_of(self, values: list[flow.Tensor]) -> float:
        """The mean of what some steps gave as one of their losses, read from the device. A collective."""
        own = flow.stack([value.to_local().mean() for value in values]).mean()
        shares = self.runtime.exchange(own.numpy().reshape(1))
        return float(shares.sum() if values[0].sbp[0] == flow.sbp.partial_sum else shares[0, 0])

    def count_skipped(self) -> int:
        """How many steps the backbone has left out so far, as AMP does if gradients overflow. A collective.

        The centers' rate then follows the backbone's. Under AMP it waits for the steps under way.
        """
        if self.cfg.fp16 and not self._frozen:
            self.train_step.count_updates()
        return self.train_step.skipped

    def backbone_state(self) -> dict[str, np.ndarray]:
        """The backbone for evaluation and others, equal on all ranks. A collective."""
        return averaged_state(self.backbone, self.runtime)

    def save_weights(self, folder: Path, state: dict[str, np.ndarray]) -> None:
        """Writes the backbone alone, for others; on the main rank. Raises OSError."""
        save_backbone(folder, state, self.cfg.network, self.cfg.embedding_size)

    def save(self, state: dict[str, np.ndarray]) -> Path:
        """Writes a checkpoint into the run's output, `state` as `backbone_state` gives it. A collective.

        Raises OSError, on every rank.
        """
        about = {
            "step": self.step,
            "ranks": self.runtime.ranks,
            "global_batch": self.global_batch,
            "steps_per_epoch": self.steps_per_epoch,
            "seed": self.cfg.seed,
            "num_classes": self.loader.num_classes,
            "network": self.cfg.network,
            "embedding_size": self.cfg.embedding_size,
            "best": self.best,
            "best_step": self.best_step,
            "loss": self._loss_name(),
            "config": dump_config(self.cfg),
        }
        optimizer = self.train_step.state()
        head, flush, store = {}, _nothing, self.head.store
        if isinstance(store, MappedRows):
            about["head_files"] = store.about()
            flush = partial(store.flush, self.step)
        elif self.cfg.model_parallel or self.runtime.is_main:
            head = {f"head.{name}": rows for name, rows in store.arrays().items()}
        return save_checkpoint(
            self.checkpoints,
            about,
            state,
            optimizer,
            head,
            rank_statistics(self.backbone),
            self.runtime,
            self.cfg.keep_checkpoints,
            flush,
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Goes on from a checkpoint, written by any number of ranks; before the first step.

        Raises UserError if it is of another run: other network, classes, global batch, data or seed.
        """
        runtime, about = self.runtime, checkpoint.about
        for key, wanted in (
            ("network", self.cfg.network),
            ("embedding_size", self.cfg.embedding_size),
            ("num_classes", self.loader.num_classes),
            ("global_batch", self.global_batch),
            ("steps_per_epoch", self.steps_per_epoch),
            ("seed", self.cfg.seed),
        ):
            if about[key] != wanted:
                raise UserError(
                    f"{checkpoint.folder} has {key} {about[key]} but this run has {wanted}; "
                    "resume it with the config it was written with"
                )
        weights = checkpoint.backbone(runtime.rank, runtime.ranks)
        for name, tensor in self.backbone.state_dict().items():
            write_local(tensor, weights[name])
        state = checkpoint.optimizer()
        self._load_centers(checkpoint)
        self.step, self.best, self.best_step = about["step"], about["best"], about["best_step"]
        before, now = about.get("loss", self._loss_name()), self._loss_name()
        if before != now:
            sentence = f"The checkpoint was trained with {before}; this run goes on with {now}, whose state begins new"
            self.resume_note = f"{self.resume_note}. {sentence}" if self.resume_note else sentence
        self.start_phase()
        self.train_step.restore(self.step, state)

    def _loss_name(self) -> str:
        cfg = self.cfg
        return f"loss {cfg.loss}" if cfg.loss else f"margin_list {tuple(cfg.margin_list)}"

    def _load_centers(
        self, checkpoint: Checkpoint, names: tuple[str, ...] = ("weight", "momentum", "last_step")
    ) -> None:
        """This rank's class centers from a checkpoint, and what belongs to them."""
        store, source = self.head.store, checkpoint.mapped_folder()
        if isinstance(store, MappedRows):
            if "momentum" in names and source and source.resolve() == store.folder.resolve():
                self._on_main(store.claim, store)
                self.resume_note = store.open(checkpoint.about["step"])
                return
            if source and source.name == store.folder.name + ".previous":
                # `create` may replace what was set aside
                raise UserError(
                    f"the class centers of {checkpoint.folder} are in {source}; set head_store_path={source}"
                )
            self.runtime.sum_over_ranks(np.zeros(1, np.float32))  # all have looked before anything is set aside
            self._on_main(store.create, store)
        for name in store.kinds(0):
            if name not in names:
                continue
            if checkpoint.has_head(f"head.{name}"):
                store.load(name, checkpoint.head_rows(f"head.{name}", store.start, store.stop))
            elif name == "last_step":  # a run that corrects from here on: nothing to catch up with
                store.load(name, np.full(store.stop - store.start, checkpoint.about["step"] - 1, np.int32))

    def _on_main(self, part: Callable[[], None], store: MappedRows) -> None:
        """Has the main rank do something with the files. A collective. Raises UserError, on every rank."""
        error = None
        if self.runtime.is_main:
            try:
                part()
            except (OSError, UserError) as found:
                error = found
        if self.runtime.sum_over_ranks(np.array([error is not None], np.float32))[0]:
            if isinstance(error, UserError):
                raise error
            reason = f": {error.strerror}" if error else ""
            raise UserError(f"the class centers cannot be kept in {store.folder}{reason}; see head_store_path")

    def start_from(self, backbone: Path | None, head: Checkpoint | None) -> None:
        """Takes the weights of a trained backbone, and the class centers of a checkpoint; before the first step.

        Raises UserError if they are of another network, embedding size or number of classes.
        """
        cfg = self.cfg
        if backbone:
            state, about = load_backbone(backbone)
            for key in ("network", "embedding_size"):
                if about[key] != cfg[key]:
                    raise UserError(f"pretrained={backbone} has {key} {about[key]}, but this run has {cfg[key]}")
            own = self.backbone.state_dict()
            check_fits(
                {name: tuple(t.shape) for name, t in own.items()}, state, f"the weights of pretrained={backbone}"
            )
            for name, tensor in own.items():
                write_local(tensor, state[name])
        if isinstance(self.head.store, MappedRows) and not head:
            self._on_main(self.head.store.create, self.head.store)
        if head:
            for key, wanted in (("num_classes", self.loader.num_classes), ("embedding_size", cfg.embedding_size)):
                if head.about[key] != wanted:
                    raise UserError(f"pretrained_head={head.folder} has {key} {head.about[key]}, but this run {wanted}")
            self._load_centers(head, ("weight",))


def _with_upcoming(batches):
    """(images, labels) ... -> (images, labels, the next batch's labels or None) ..."""
    batches = iter(batches)
    current = next(batches, None)
    while current is not None:
        following = next(batches, None)
        yield *current, None if following is None else following[1]
        current = following


def _nothing() -> None:
    """What there is to flush where no rank keeps files of its own."""
