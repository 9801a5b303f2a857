"""What no single key can show: names that are not keys, and values that contradict each other."""

import difflib
from collections.abc import Callable, Iterable, Sequence, Set
from pathlib import Path

from easydict import EasyDict

from utils.config.grammar import (
    Signatures,
    check_call,
    check_sum,
    parse_call,
    parse_sum,
    read_signatures,
    registered_with,
)
from utils.config.insightface_keys import foreign_advice
from utils.config.schema import AUGMENTATIONS, LOSSES, OLD_KEYS, SCHEMA
from utils.errors import UserError

_REPO = Path(__file__).resolve().parents[2]
LOSSES_FOLDER, OPTIMIZERS_FOLDER, SCHEDULES_FOLDER = _REPO / "losses", _REPO / "optim", _REPO / "optim" / "schedules"
SAMPLERS_FOLDER = _REPO / "data" / "samplers"
# Keys that hold a name with or without parameters, and where the names are registered.
_CALLS = {
    "network": _REPO / "backbones",
    "optimizer": OPTIMIZERS_FOLDER,
    "head_optimizer": OPTIMIZERS_FOLDER,
    "lr_schedule": SCHEDULES_FOLDER,
    "sampler": SAMPLERS_FOLDER,
}


def check_key(key: str, place: str) -> None:
    """Raise UserError, with the nearest valid name or what to write instead, unless `key` exists."""
    if key in SCHEMA or key in OLD_KEYS:
        return
    advice = foreign_advice(key)
    if advice is None:
        near = difflib.get_close_matches(key, SCHEMA, n=1)
        advice = f"did you mean {near[0]}?" if near else "configs/base.py lists all keys."
        raise UserError(f"Unknown key {key} {place}: {advice}")
    raise UserError(f"Key {key} {place} is not used here: {advice}.")


def expand_loss(layer: dict, place: str) -> None:
    """Turn a `loss` that is short for a margin_list into it within one layer (a file, or the command line), in place.

    A margin_list alone takes the place of an earlier layer's loss. Raises UserError if the layer holds both and they
    disagree, and for a loss or a parameter that losses/ does not have.
    """
    loss = layer.get("loss")
    if loss is None:
        if "margin_list" in layer:
            layer["loss"] = None
        return
    if loss not in LOSSES:
        _check_loss(loss, place)
        if "margin_list" in layer:
            raise UserError(f"loss = {loss!r} and margin_list {place} disagree, as it has its own; keep one of them.")
        return
    stated = layer.setdefault("margin_list", LOSSES[loss])
    if stated != LOSSES[loss]:
        raise UserError(
            f"loss = {loss!r} and margin_list = {stated} {place} disagree, "
            f"as {loss!r} is shorthand for {LOSSES[loss]}; keep one of them."
        )


def center_losses() -> Signatures:
    """The losses over class centers."""
    return read_signatures(LOSSES_FOLDER)


def embedding_losses() -> Signatures:
    """The losses on embeddings, which are added to one over class centers."""
    return read_signatures(LOSSES_FOLDER, "register_on_embeddings")


def _check_loss(loss: str, place: str) -> None:
    names = check_sum(loss, center_losses() | embedding_losses(), "loss", place)
    over_centers = [name for name in names if name in center_losses()]
    if not over_centers:
        raise UserError(f'loss = {loss!r} {place} has no class centers; add a loss that has, as "arcface + {loss}".')
    if len(over_centers) > 1:
        raise UserError(f"loss = {loss!r} {place}: {' and '.join(over_centers)} are over class centers; keep one.")
    if len(set(names)) < len(names):
        raise UserError(f"loss = {loss!r} {place} has a loss twice; write it once, with a weight.")


def _has_gradient_choice(loss: str) -> bool:
    return any("gradient" in center_losses().get(name, {}) for name in _names(loss))


def uses_teacher(cfg: EasyDict) -> bool:
    """Whether a loss of the config compares with a teacher."""
    taught = registered_with(LOSSES_FOLDER, "register_on_embeddings", "wants_teacher")
    return cfg.loss is not None and cfg.loss not in LOSSES and not taught.isdisjoint(_names(cfg.loss))


def teacher_in_step(cfg: EasyDict) -> bool:
    """Whether the teacher is a network of ours, and not its embeddings (.npy) or an ONNX model."""
    return cfg.teacher is not None and Path(cfg.teacher).suffix not in (".npy", ".onnx")


def _names(loss: str) -> list[str]:
    return [name for _, name, _ in parse_sum(loss)]


def call_faults(layer: dict, place: str) -> dict[str, str]:
    """By key, a sentence on each network, optimizer, schedule or sampler, or parameter of one, that there is not."""
    faults = {}
    for key, folder in _CALLS.items():
        if layer.get(key) is not None:
            try:
                check_call(layer[key], read_signatures(folder), key, place)
            except UserError as error:
                faults[key] = str(error)
    return faults


def expand_old_keys(layer: dict, place: str) -> None:
    """Says what keys of before hold by those of now, in place. Raises UserError if the layer holds both."""
    if "lr_backbone_scale" not in layer:
        return
    scale = layer.pop("lr_backbone_scale")
    now = {} if scale == 1 else {"backbone.*": scale}
    if layer.setdefault("lr_multipliers", now) != now:
        raise UserError(f"lr_backbone_scale and lr_multipliers {place} disagree; keep lr_multipliers.")


def _names_multistep(cfg: EasyDict) -> bool:
    return parse_call(cfg.lr_schedule)[0] == "multistep"


Clash = tuple[tuple[str, ...], Callable[[EasyDict], bool], str]  # keys, whether they clash, what to do

_ALWAYS: tuple[Clash, ...] = (
    (
        ("warmup_epoch", "num_epoch"),
        lambda cfg: cfg.warmup_epoch >= cfg.num_epoch,
        "the warm-up must end before num_epoch",
    ),
    (
        ("decay_epoch", "num_epoch"),
        lambda cfg: any(epoch >= cfg.num_epoch for epoch in cfg.decay_epoch),
        "each decay_epoch must come before num_epoch",
    ),
    (
        ("decay_epoch", "warmup_epoch"),
        lambda cfg: any(epoch < cfg.warmup_epoch for epoch in cfg.decay_epoch),
        "the rate cannot decay before the warm-up has ended",
    ),
    (
        ("margin_gradient", "loss"),
        lambda cfg: cfg.margin_gradient != "exact" and cfg.loss is not None and not _has_gradient_choice(cfg.loss),
        "that loss has no such choice; write margin_gradient=exact",
    ),
    (
        ("lr_schedule", "decay_epoch"),
        lambda cfg: cfg.lr_schedule == "multistep" and not cfg.decay_epoch,
        "say with decay_epoch after which epochs the rate falls, such as (10, 16)",
    ),
    (
        ("lr_schedule", "decay_epoch"),
        lambda cfg: not _names_multistep(cfg) and bool(cfg.decay_epoch),
        'write lr_schedule = "multistep", or decay_epoch = ()',
    ),
)

NOT_EAGER = "only the compiled step computes activations again; write graph=True, or activation_checkpointing=None"
_WHOLE_HEAD = "every rank would hold all class centers; write model_parallel=True"

_TRAINING: tuple[Clash, ...] = (
    (
        ("sample_rate", "model_parallel"),
        lambda cfg: cfg.sample_rate < 1 and not cfg.model_parallel,
        _WHOLE_HEAD,
    ),
    (
        ("head_store", "model_parallel"),
        lambda cfg: cfg.head_store != "device" and not cfg.model_parallel,
        _WHOLE_HEAD,
    ),
    (
        ("head_dtype", "model_parallel"),
        lambda cfg: cfg.head_dtype != "float32" and not cfg.model_parallel,
        _WHOLE_HEAD,
    ),
    (
        ("correct_skipped", "sample_rate"),
        lambda cfg: cfg.correct_skipped and cfg.sample_rate == 1,
        "no class center is ever skipped; write correct_skipped=False",
    ),
    (
        ("loss", "teacher"),
        lambda cfg: uses_teacher(cfg) and cfg.teacher is None and not cfg.synthetic,
        "name a teacher, such as the embeddings of the dataset that tools/embed.py makes",
    ),
    (
        ("head_store_path", "head_store"),
        lambda cfg: cfg.head_store_path is not None and cfg.head_store != "mmap",
        'only head_store="mmap" keeps class centers in files',
    ),
    (
        ("synthetic", "num_classes"),
        lambda cfg: cfg.synthetic and cfg.num_classes is None,
        "synthetic data needs num_classes",
    ),
    (("synthetic", "num_image"), lambda cfg: cfg.synthetic and cfg.num_image is None, "synthetic data needs num_image"),
    (
        ("ofrecord_path",),
        lambda cfg: not cfg.synthetic and cfg.ofrecord_path is None,
        "set ofrecord_path to a dataset's folder, or synthetic=True",
    ),
    (
        ("val_targets", "val_path", "ofrecord_path"),
        lambda cfg: bool(cfg.val_targets) and cfg.val_path is None and cfg.ofrecord_path is None,
        "set val_path to the folder of the .bin sets, or val_targets = ()",
    ),
    (
        ("num_image", "batch_size", "gradient_acc"),
        lambda cfg: cfg.num_image is not None and cfg.num_image < cfg.batch_size * cfg.gradient_acc,
        "there are fewer images than one step takes",
    ),
    (
        ("activation_checkpointing", "graph"),
        lambda cfg: cfg.activation_checkpointing is not None and not cfg.graph,
        NOT_EAGER,
    ),
    (
        ("fp16", "device"),
        lambda cfg: cfg.fp16 and cfg.device == "cpu",
        "mixed precision needs CUDA; write fp16=False",
    ),
    (
        ("data_format", "device"),
        lambda cfg: cfg.data_format == "NHWC" and cfg.device == "cpu",
        "OneFlow's kernels for CPUs need the other layout; write data_format=NCHW",
    ),
    (
        ("fp16", "gradient_acc"),
        lambda cfg: cfg.fp16 and cfg.gradient_acc > 1,
        "OneFlow 0.9.0 does not compile BatchNorm in mixed precision with accumulated gradients, because it makes the "
        "running statistics float16; write a larger batch_size with gradient_acc=1, or fp16=False",
    ),
)


def check_together(cfg: EasyDict, places: dict[str, str], require_data: bool) -> None:
    """Raise UserError for the contradictions between keys; `places` says where each was set."""
    if findings := contradictions(cfg, places, require_data):
        raise refusal(findings)


NO_CARD = 'device = "cuda", but OneFlow finds no card it can use here; set device=cpu or device=auto'


def check_device(cfg: EasyDict, device: str) -> None:
    """Raises UserError for what cannot be had on the device, "cuda" or "cpu", that `cfg.device` has come to."""
    if cfg.fp16 and device == "cpu":
        raise UserError("fp16=True needs a CUDA card, OneFlow has no half-precision kernels for CPUs; add fp16=False")
    if cfg.data_format == "NHWC" and device == "cpu":
        raise UserError("data_format=NHWC needs a CUDA card, OneFlow's CPU kernels are wrong in it; leave it out")


def contradictions(cfg: EasyDict, places: dict[str, str], require_data: bool, but: Set[str] = frozenset()) -> list[str]:
    """A sentence for each contradiction between keys; none about the keys of `but`, which have a finding already."""
    findings = [] if "augment" in but else _unknown_operations(cfg.augment, places["augment"])
    clashes: Iterable[Clash] = _ALWAYS + _TRAINING if require_data else _ALWAYS
    for keys, clash, advice in clashes:
        if but.isdisjoint(keys) and clash(cfg):
            values = " with ".join(f"{key} = {cfg[key]!r} ({places[key]})" for key in keys)
            findings.append(f"{values} is not possible: {advice}.")
    return findings


def refusal(findings: Sequence[str]) -> UserError:
    """The error of a config with these findings: the sentence of one, or all of several, a line each."""
    if len(findings) == 1:
        return UserError(findings[0])
    return UserError("\n  ".join([f"{len(findings)} things in this config are not possible:", *findings]))


def _unknown_operations(names: Iterable[str], place: str) -> list[str]:
    findings = []
    for name in names:
        if name not in AUGMENTATIONS:
            near = difflib.get_close_matches(name, AUGMENTATIONS, n=1)
            advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(AUGMENTATIONS)}."
            findings.append(f"augment {place} names an unknown operation {name}: {advice}")
    return findings
