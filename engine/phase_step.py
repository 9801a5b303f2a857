"""The training step of a phase, and what of the last one it goes on with."""

import numpy as np
from oneflow import nn

from engine.eager import EagerStep
from engine.graph import GraphStep
from engine.model import Classifier, freeze
from engine.phase import Phase
from engine.step import TrainStep
from heads.build import build_head, row_optimizer
from heads.class_parallel import ClassParallelHead
from heads.stores.store import RowStore
from losses import configured_loss
from optim import configured_head_optimizer, configured_optimizer
from optim.parameters import CENTERS, ParameterRules
from utils.errors import UserError
from utils.runtime import Runtime


def check_phase(cfg) -> None:
    """Raises UserError for a loss or an optimizer that cannot be had as `cfg` wants it."""
    configured_optimizer(cfg)
    row_optimizer(cfg)
    if cfg.interclass_filtering_threshold and not configured_loss(cfg).margin.normalized:
        raise UserError(
            f"interclass_filtering_threshold = {cfg.interclass_filtering_threshold:g} is a cosine, and "
            f"{loss_name(cfg)} has none; write interclass_filtering_threshold=0"
        )


def make_step(
    phase: Phase, backbone: nn.Module, store: RowStore, num_classes: int, runtime: Runtime
) -> tuple[ClassParallelHead, TrainStep]:
    """The head of a phase and the step that trains both. Raises UserError for a pattern that no parameter matches."""
    cfg = phase.cfg
    optimizer = configured_optimizer(cfg)
    rules = ParameterRules.from_config(cfg, optimizer.weight_decay)
    names = [CENTERS, *(f"backbone.{name}" for name, _ in backbone.named_parameters())]
    for pattern in rules.unused(names):
        raise UserError(f'no parameter is called as the pattern "{pattern}" says; there are {names[0]}, {names[1]} ...')
    freeze(backbone, rules)
    head = build_head(cfg, num_classes, phase.global_batch, runtime, store)
    loss = configured_loss(cfg)
    parts = Classifier(backbone, head, loss), optimizer, rules, runtime, cfg.clip_grad_norm, phase.accumulated
    inner = GraphStep(*parts, cfg.fp16, bool(cfg.fused_ops)) if cfg.graph else EagerStep(*parts)
    step = TrainStep(inner, head, phase.rate, rules, runtime, phase.accumulated, cfg.seed, bool(loss.terms))
    return head, step


def carried_state(state: dict[str, np.ndarray], before, after) -> dict[str, np.ndarray]:
    """Of a training step's state (`TrainStep.state`), what a phase with the config `after` goes on with: slots if the
    optimizer is the same, the loss's state if the loss is."""
    kept = dict(state)
    if configured_optimizer(before).name != configured_optimizer(after).name:
        kept = {name: array for name, array in kept.items() if "/" not in name and name != "updates"}
    if configured_head_optimizer(before).name != configured_head_optimizer(after).name:
        kept.pop("center_updates", None)
    if loss_name(before) != loss_name(after):
        kept = {name: array for name, array in kept.items() if not name.startswith("loss.")}
    return kept


def loss_name(cfg) -> str:
    """What the log and checkpoints call the loss of a config."""
    return f"loss {cfg.loss}" if cfg.loss else f"margin_list {tuple(cfg.margin_list)}"
