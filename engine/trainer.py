"""A run: the loop, and the state it carries."""

import math
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import oneflow as flow

from backbones import get_model
from deploy.weights import check_fits, load_backbone, save_backbone
from engine.batchnorm import averaged_state, rank_statistics
from engine.checkpoint import Checkpoint, save_checkpoint
from engine.eager import EagerStep
from engine.graph import GraphStep
from engine.model import Classifier
from engine.optim import build_sgd
from engine.schedule import Schedule
from engine.stop import StopSignal
from heads.class_parallel import ClassParallelHead, shard_range
from utils.config import dump_config
from utils.errors import UserError
from utils.runtime import Runtime, local_array, write_local


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
        self.step, self.best, self.best_step, self.loss = 0, 0.0, 0, None
        self.paused_seconds = 0.0

        flow.manual_seed(cfg.seed)
        self.backbone = get_model(cfg.network, cfg.embedding_size, cfg.dropout).train()
        if cfg.graph:
            self.backbone.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
        else:
            self.backbone.to(runtime.device)
        on_cuda = runtime.device == "cuda"
        self.head = ClassParallelHead(
            loader.num_classes,
            cfg.embedding_size,
            runtime.placement,
            margins=cfg.margin_list,
            scale=cfg.logit_scale,
            gradient=cfg.margin_gradient,
            filtering=cfg.interclass_filtering_threshold,
            model_parallel=cfg.model_parallel,
            fused=cfg.graph and (on_cuda if cfg.fused_ops == "auto" else cfg.fused_ops),
            seed=cfg.seed,
        )
        self.schedule = Schedule.from_config(cfg, self.steps_per_epoch)
        self._start_phase()

    def _start_phase(self) -> None:
        """Makes the step of the current phase: head alone in the first `cfg.freeze_backbone` steps, then everything."""
        cfg = self.cfg
        self._frozen = self.step < cfg.freeze_backbone
        # A frozen backbone is used as it is, its BatchNorm statistics too.
        self.backbone.train(not self._frozen)
        for parameter in self.head.parameters():
            parameter.grad = None  # of the phase before; a second graph could not add to it
        optimizer = build_sgd(self.backbone, self.head, cfg, self._frozen)
        model = Classifier(self.backbone, self.head, self._frozen)
        if cfg.graph:
            self.train_step = GraphStep(model, optimizer, self.schedule, self.runtime, cfg.gradient_acc, cfg.fp16)
        else:
            self.train_step = EagerStep(model, optimizer, self.schedule, self.runtime, cfg.gradient_acc)

    @property
    def finished(self) -> bool:
        return self.step >= self.total_steps

    def fit(self, hooks: list) -> bool:
        """Trains to the end, or until the user stops it; says which by returning `finished`."""
        with StopSignal(self.runtime) as stop:
            for hook in hooks:
                hook.on_start(self)
            for images, labels in self.loader.batches(self.step, self.total_steps):
                if self._frozen and self.step == self.cfg.freeze_backbone:
                    state = self.train_step.state()
                    self._start_phase()
                    self.train_step.restore(self.step, state)
                self.loss = self.train_step(images, labels)
                self.step += 1
                for hook in hooks:
                    hook.after_step(self)
                if stop.agreed():
                    break
            for hook in hooks:
                hook.on_end(self)
        return self.finished

    @contextmanager
    def paused(self):
        """Time spent inside counts as no training time; steps still under way are waited for first."""
        self.loss.to_local().numpy()
        start = time.perf_counter()
        yield
        self.paused_seconds += time.perf_counter() - start

    def mean_loss(self, losses: list[flow.Tensor]) -> float:
        """The mean of the losses of some steps, read from the device. A collective.

        Raises UserError, on all ranks, where it is no number.
        """
        mean = flow.stack([loss.mean() for loss in losses]).mean()
        value = float(mean.to_global(sbp=flow.sbp.broadcast).to_local().numpy())
        if not math.isfinite(value):
            hint = "fp16=False" if self.cfg.fp16 else "clip_grad_norm=5.0"
            raise UserError(
                f"the loss is {value} by step {self.step}; try a smaller lr, a longer warmup_epoch, or {hint}"
            )
        return value

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
            "config": dump_config(self.cfg),
        }
        optimizer = self.train_step.state()
        momentum = optimizer.pop("head.weight")
        head = {}
        if self.cfg.model_parallel or self.runtime.is_main:
            head = {"head.weight": local_array(self.head.weight), "head.momentum": momentum}
        return save_checkpoint(
            self.checkpoints,
            about,
            state,
            optimizer,
            head,
            rank_statistics(self.backbone),
            self.runtime,
            self.cfg.keep_checkpoints,
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Goes on from a checkpoint, written by any number of ranks; before the first step.

        Raises UserError where it is of another run: other network, classes, global batch, data or seed.
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
        rows = self._own_classes()
        write_local(self.head.weight, checkpoint.head_rows("head.weight", *rows))
        state = checkpoint.optimizer() | {"head.weight": checkpoint.head_rows("head.momentum", *rows)}
        self.step, self.best, self.best_step = about["step"], about["best"], about["best_step"]
        self._start_phase()
        self.train_step.restore(self.step, state)

    def _own_classes(self) -> tuple[int, int]:
        """The classes [start, stop) whose centres this rank holds."""
        if self.cfg.model_parallel:
            return shard_range(self.loader.num_classes, self.runtime.ranks, self.runtime.rank)
        return 0, self.loader.num_classes

    def start_from(self, backbone: Path | None, head: Checkpoint | None) -> None:
        """Takes the weights of a trained backbone, and the class centres of a checkpoint; before the first step.

        Raises UserError where they are of another network, embedding size or number of classes.
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
        if head:
            for key, wanted in (("num_classes", self.loader.num_classes), ("embedding_size", cfg.embedding_size)):
                if head.about[key] != wanted:
                    raise UserError(f"pretrained_head={head.folder} has {key} {head.about[key]}, but this run {wanted}")
            write_local(self.head.weight, head.head_rows("head.weight", *self._own_classes()))
