"""The training step of a phase, and what of the last one it goes on with."""

import numpy as np
from oneflow import nn

from backbones.pixels import Pixels
from engine.eager import EagerStep
from engine.graph import GraphStep
from engine.model import Classifier, freeze
from engine.modules import Modules
from engine.network import configured_segments, image_shape
from engine.phase import Phase
from engine.projection import WEIGHT
from engine.step import TrainStep
from heads.build import build_head, row_optimizer
from heads.class_means import ClassMeans
from heads.class_parallel import ClassParallelHead
from heads.stores.store import RowStore
from losses import configured_loss
from optim import configured_head_optimizer, configured_optimizer
from optim.parameters import CENTERS, ParameterRules
from utils.errors import UserError
from utils.runtime import Runtime


def check_phase(cfg, backbone: nn.Module, projected: bool) -> None:
    """Raises UserError for a loss or an optimizer that cannot be had as `cfg` wants it, and for a pattern that no
    parameter matches. projected: whether there is a projection to a teacher's length.
    """
    row_optimizer(cfg)
    configured_segments(cfg, backbone)
    names = [CENTERS, *(f"backbone.{name}" for name, _ in backbone.named_parameters())]
    names += [WEIGHT] if projected else []
    for pattern in ParameterRules.from_config(cfg, configured_optimizer(cfg).weight_decay).unused(names):
        raise UserError(f'no parameter is called as the pattern "{pattern}" says; there are {names[0]}, {names[1]} ...')
    if cfg.interclass_filtering_threshold and not configured_loss(cfg).margin.normalized:
        raise UserError(
            f"interclass_filtering_threshold = {cfg.interclass_filtering_threshold:g} is a cosine, and "
            f"{trained_with(cfg)['loss']} has none; write interclass_filtering_threshold=0"
        )


def make_step(
    phase: Phase,
    modules: Modules,
    store: RowStore,
    means: ClassMeans | None,
    num_classes: int,
    runtime: Runtime,
) -> tuple[ClassParallelHead, TrainStep]:
    """The head of a phase and the step that trains it and the backbone. means: of the phase before, with which it goes
    on if its loss compares with some.
    """
    cfg = phase.cfg
    optimizer = configured_optimizer(cfg)
    rules = ParameterRules.from_config(cfg, optimizer.weight_decay)
    freeze(modules.backbone, rules)
    head = build_head(cfg, num_classes, phase.global_batch, runtime, store)
    loss = configured_loss(cfg)
    if modules.projection is not None:
        freeze(modules.projection, rules, "projection")
    projection, teacher = (modules.projection, modules.teacher) if loss.wants_teacher else (None, None)
    pixels = Pixels(image_shape(cfg).channels, cfg.data_format)
    model = Classifier(modules.backbone, head, loss, projection, teacher, pixels)
    parts = model, optimizer, rules, runtime, cfg.clip_grad_norm, phase.accumulated
    recomputed = configured_segments(cfg, modules.backbone)
    inner = GraphStep(*parts, cfg.fp16, bool(cfg.fused_ops), recomputed) if cfg.graph else EagerStep(*parts)
    means = _phase_means(means, cfg, num_classes, runtime)
    wanted = bool(loss.terms), means, model.draws
    return head, TrainStep(inner, head, phase.rate, rules, runtime, phase.accumulated, cfg.seed, *wanted)


def _phase_means(before: ClassMeans | None, cfg, num_classes: int, runtime: Runtime) -> ClassMeans | None:
    """The class means of a phase, if its loss compares with some: those of the phase before go on."""
    rate = configured_loss(cfg).means_rate
    if rate is None:
        return None
    means = before or ClassMeans.zeros(num_classes, cfg.embedding_size, runtime, rate)
    means.rate = rate
    return means


def trained_with(cfg) -> dict[str, str]:
    """What the state of a training step belongs to, by the words of logs and checkpoints."""
    return {
        "optimizer": configured_optimizer(cfg).name,
        "head_optimizer": configured_head_optimizer(cfg).name,
        "loss": f"loss {cfg.loss}" if cfg.loss else f"margin_list {tuple(cfg.margin_list)}",
    }


def carried_state(
    state: dict[str, np.ndarray], before: dict[str, str], after: dict[str, str], centers: bool = True
) -> dict[str, np.ndarray]:
    """What to go on with of a training step's state (`TrainStep.state`), after steps `trained_with` before: the
    backbone's slots and their count if the optimizer is the same, the count of the centers' if theirs go on too
    (`centers`), and the loss's state if the loss is.
    """
    kept = dict(state)
    if before["optimizer"] != after["optimizer"]:
        kept = {name: array for name, array in kept.items() if "/" not in name and name != "updates"}
    if before["head_optimizer"] != after["head_optimizer"] or not centers:
        kept.pop("center_updates", None)
    if before["loss"] != after["loss"]:
        kept = {name: array for name, array in kept.items() if not name.startswith("loss.")}
    return kept
