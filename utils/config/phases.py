"""Stretches of a run under a config of their own: each phase states what differs."""

import difflib

from easydict import EasyDict

from utils.config.rules import (
    call_faults,
    check_key,
    check_together,
    expand_loss,
    expand_old_keys,
    refusal,
    uses_teacher,
)
from utils.config.schema import settle
from utils.errors import UserError

CHANGEABLE = (
    *("loss", "margin_list", "logit_scale", "margin_gradient", "interclass_filtering_threshold", "sample_rate"),
    "label_smoothing",
    *("optimizer", "head_optimizer", "momentum", "weight_decay", "head_weight_decay", "decay_norms_and_biases"),
    *("lr", "lr_multipliers", "lr_backbone_scale", "lr_schedule", "lr_power", "decay_epoch", "decay_rate"),
    *("warmup_epoch", "num_epoch", "batch_size", "gradient_acc", "clip_grad_norm", "frozen", "correct_skipped"),
    *("sampler", "augment", "random_flip"),
)


def settle_phases(cfg: EasyDict, places: dict[str, str], require_data: bool) -> None:
    """Puts the values of `cfg.phases` into their keys' own types, in place, and checks each phase as a config.

    Raises UserError, naming the phase, for what a config is refused for, and for keys that a phase cannot change.
    """
    if cfg.freeze_backbone:
        advice = 'freeze_backbone is short for a first phase; write frozen = ("backbone.*",) in the first phase instead'
        raise UserError(f"freeze_backbone = {cfg.freeze_backbone} with phases is not possible: {advice}.")
    settled = []
    for number, stated in enumerate(cfg.phases, start=1):
        place = f"in phase {number} {places['phases']}"
        for key in stated:
            check_key(key, place)
            if key not in CHANGEABLE:
                near = difflib.get_close_matches(key, CHANGEABLE, n=1)
                advice = f"; did you mean {near[0]}?" if near else "."
                raise UserError(f"Key {key} {place} cannot change between phases{advice}")
        layer = {key: settle(key, value, place) for key, value in stated.items()}
        _expand_layer(layer, place)
        settled.append(layer)
        phase = _resolved(cfg, layer)
        check_together(phase, {**places, **dict.fromkeys(layer, place)}, require_data)
    cfg.phases = tuple(settled)


def _expand_layer(layer: dict, place: str) -> None:
    """Spells out what is short or of before in a layer of a config, in place, and checks the names in it."""
    expand_old_keys(layer, place)
    if faults := call_faults(layer, place):
        raise refusal(list(faults.values()))
    expand_loss(layer, place)


def resolve_phases(cfg: EasyDict) -> list[EasyDict]:
    """One whole config per phase, without phases of its own; `[cfg]` if there are none."""
    return [_resolved(cfg, dict(stated)) for stated in cfg.phases] or [cfg]


def distills(cfg: EasyDict) -> bool:
    """Whether any phase compares with a teacher."""
    return any(map(uses_teacher, resolve_phases(cfg)))


def check_teacher(cfg: EasyDict, places: dict[str, str]) -> None:
    """Raises UserError for a teacher that no phase has a use for."""
    if cfg.teacher is not None and not distills(cfg):
        advice = 'write a loss such as "arcface + 7 * distillation", or teacher=None'
        raise UserError(f"teacher = {cfg.teacher!r} {places['teacher']} has no use in loss = {cfg.loss!r}: {advice}.")


def _resolved(cfg: EasyDict, stated: dict) -> EasyDict:
    return EasyDict({**cfg, **stated, "phases": ()})
