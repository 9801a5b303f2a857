"""What each key may hold: its type, the values allowed, and the words for it. One row per key of `configs/base.py`."""

import ast
import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any

from utils.config.passwords import has_password, hide_password
from utils.errors import UserError

AUGMENTATIONS = ("crop", "crop_pad", "color", "gray", "blur", "low_resolution", "jpeg", "cutout")  # data/augment
_OLD_AUGMENTATIONS = {"colour": "color", "grey": "gray"}  # as run files had them once
LOSSES = {"arcface": (1.0, 0.5, 0.0), "cosface": (1.0, 0.0, 0.4)}  # shorthand -> margin_list


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _whole(value: Any) -> int:
    """A whole number; 64.0 is one, True is not."""
    if not _is_number(value) or int(value) != value:
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    """A finite number."""
    if not _is_number(value) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, tuple | list):
        raise TypeError
    return tuple(_number(item) for item in value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _size(value: Any) -> tuple[int, ...]:
    """One whole number for both sides, or (height, width)."""
    return tuple(_whole(side) for side in (value if isinstance(value, tuple | list) else (value, value)))


def _names(value: Any) -> tuple[str, ...]:
    """A tuple or list of names, or one text with commas between them."""
    if isinstance(value, str):
        value = [name.strip() for name in value.strip("()[] ").split(",") if name.strip()]
    if not isinstance(value, tuple | list):
        raise TypeError
    return tuple(_text(item) for item in value)


def _numbers_by_name(value: Any) -> dict[str, float]:
    """A dict of numbers by name, an empty tuple or list, or a text such as `crop:0.2,blur:0.1`."""
    if isinstance(value, str):
        pairs = [item.partition(":")[::2] for item in value.strip("{} ").split(",") if item.strip()]
        value = {name.strip(): float(number) for name, number in pairs}
        if len(value) < len(pairs):
            raise ValueError
    if not isinstance(value, dict) and value not in ((), []):
        raise TypeError
    return {_text(name): _number(number) for name, number in dict(value).items()}


def _augmentations(value: Any) -> dict[str, float]:
    """Probabilities by operation, whose old names become the new ones."""
    stated = _numbers_by_name(value)
    renamed = {_OLD_AUGMENTATIONS.get(name, name): number for name, number in stated.items()}
    if len(renamed) < len(stated):
        raise ValueError
    return renamed


def _overrides(value: Any) -> tuple[dict, ...]:
    """Dicts of some keys; what they hold is for utils/config/phases.py to check."""
    if not isinstance(value, tuple | list):
        raise TypeError
    return tuple({_text(key): held for key, held in dict(item).items()} for item in value)


def _flag_or_text(value: Any) -> bool | str:
    return value if isinstance(value, bool) else _text(value)


@dataclass(frozen=True)
class Row:
    """The type (`kind` converts a value or raises), which values of that type are allowed, and how to say so."""

    kind: Callable[[Any], Any]
    allowed: str
    check: Callable[[Any], bool] = lambda value: True


def _count(low: int) -> Row:
    return Row(_whole, f"a whole number, {low} or more", lambda value: value >= low)


def _choice(*choices: str | bool | None) -> Row:
    def kind(value: Any) -> str | bool | None:
        # By type as well: 1 == True, and 1 is not among the choices.
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise ValueError
        return value

    return Row(kind, "one of " + ", ".join(map(repr, choices)))


def _or_none(row: Row) -> Row:
    return Row(
        lambda value: None if value is None else row.kind(value),
        f"{row.allowed}, or None",
        lambda value: value is None or row.check(value),
    )


_FLAG = Row(_flag, "True or False")
_PATH = _or_none(Row(_text, "a path", lambda value: value != "" and "\0" not in value))
_NAME = _or_none(Row(_text, "a name", bool))
_OPEN_URI = "a URI without the password, which MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD are for"
_ABOVE_ZERO = Row(_number, "a number above 0", lambda value: value > 0)
_NOT_NEGATIVE = Row(_number, "a number, 0 or more", lambda value: value >= 0)
_BELOW_ONE = Row(_number, "a number from 0 to below 1", lambda value: 0 <= value < 1)
_SHARE = Row(_number, "a number above 0 and at most 1", lambda value: 0 < value <= 1)

_PATTERNS = Row(_names, 'patterns of parameters\' names, such as ("backbone.*",)', all)
_CALL = Row(_text, "a name with or without parameters, as configs/base.py lists them", bool)

# Keys of before, and how their value is said now.
OLD_KEYS: dict[str, Row] = {"lr_backbone_scale": _ABOVE_ZERO}

SCHEMA: dict[str, Row] = {
    "network": Row(_text, 'the name of a backbone, such as "r50"', bool),
    "embedding_size": _count(1),
    "image_size": _or_none(
        Row(
            _size,
            "one number or (height, width), multiples of 16 from 32 to 512",
            lambda value: len(value) == 2 and all(side % 16 == 0 and 32 <= side <= 512 for side in value),
        )
    ),
    "gray": _FLAG,
    "dropout": _BELOW_ONE,
    "sync_batchnorm": _FLAG,
    "activation_checkpointing": _choice(None, "blocks", "stages"),
    "pretrained": _PATH,
    "freeze_backbone": _count(0),
    "frozen": _PATTERNS,
    "loss": _or_none(Row(_text, 'a loss with or without parameters, such as "arcface" or "adaface(m=0.4)"', bool)),
    "margin_list": Row(
        _numbers,
        "three numbers (m1, m2, m3), m1 above 0, m2 in radians from 0 to below pi, m3 0 or more",
        lambda value: len(value) == 3 and value[0] > 0 and 0 <= value[1] < math.pi and value[2] >= 0,
    ),
    "logit_scale": _ABOVE_ZERO,
    "margin_gradient": _choice("exact", "straight_through"),
    "teacher": _PATH,
    "label_smoothing": _BELOW_ONE,
    "centers_per_class": _count(1),
    "interclass_filtering_threshold": _BELOW_ONE,
    "sample_rate": _SHARE,
    "head_store": _choice("device", "host", "mmap"),
    "head_store_path": _PATH,
    "head_dtype": _choice("float32", "float16"),
    "correct_skipped": _FLAG,
    "model_parallel": _FLAG,
    "pretrained_head": _PATH,
    "ofrecord_path": _PATH,
    "synthetic": _FLAG,
    "num_classes": _or_none(_count(2)),
    "num_image": _or_none(_count(1)),
    "sampler": _CALL,
    "random_flip": _FLAG,
    "augment": Row(
        _augmentations,
        'probabilities from 0 to 1 by operation, such as {"crop": 0.2, "blur": 0.1}',
        lambda value: all(0 <= number <= 1 for number in value.values()),
    ),
    "verify_data": _choice("off", "headers", "full"),
    "num_workers": _count(1),
    "prefetch": _count(1),
    "batch_size": _count(1),
    "gradient_acc": _count(1),
    "optimizer": _CALL,
    "head_optimizer": _or_none(_CALL),
    "lr": _ABOVE_ZERO,
    "lr_multipliers": Row(
        _numbers_by_name,
        'numbers above 0 by patterns of parameters\' names, such as {"backbone.*": 0.1}',
        lambda value: all(number > 0 for number in value.values()),
    ),
    "momentum": _BELOW_ONE,
    "weight_decay": _NOT_NEGATIVE,
    "head_weight_decay": _or_none(_NOT_NEGATIVE),
    "decay_norms_and_biases": _FLAG,
    "clip_grad_norm": _NOT_NEGATIVE,
    "num_epoch": _count(1),
    "warmup_epoch": Row(_number, "a number of epochs, 0 (no warm-up) or more", lambda value: value >= 0),
    "lr_schedule": _CALL,
    "lr_power": _ABOVE_ZERO,
    "decay_epoch": Row(
        _numbers,
        "epochs above 0, each later than the one before, such as (10, 16)",
        lambda value: all(before < after for before, after in zip((0.0, *value), value, strict=False)),
    ),
    "decay_rate": _SHARE,
    "phases": Row(_overrides, 'a list of dicts, such as [{"num_epoch": 2, "loss": "normface"}]'),
    "device": _choice("auto", "cuda", "cpu"),
    "graph": _FLAG,
    "data_format": _choice("NCHW", "NHWC"),
    "fp16": _FLAG,
    "cpu_kernels": _choice(True, False),
    "fused_ops": _choice("auto", True, False),
    # NumPy's generators take no larger seed.
    "seed": Row(_whole, "a whole number from 0 to 4294967295", lambda value: 0 <= value < 2**32),
    "val_targets": Row(
        _names,
        'different names of .bin sets without the suffix, such as ("lfw", "cfp_fp")',
        lambda value: (
            len(set(value)) == len(value)
            and all(re.fullmatch(r"[\w.-]+", name) and not name.endswith(".bin") for name in value)
        ),
    ),
    "val_path": _PATH,
    "val_batch_size": _count(1),
    "verbose": _count(0),
    "output": _PATH,
    "frequent": _count(1),
    "tensorboard": _FLAG,
    "using_wandb": _FLAG,
    "wandb_key": _NAME,
    "wandb_entity": _NAME,
    "wandb_project": _NAME,
    "wandb_resume": _FLAG,
    "suffix_run_name": _NAME,
    "using_mlflow": _FLAG,
    "mlflow_tracking_uri": _or_none(Row(_text, _OPEN_URI, lambda value: value and not has_password(value))),
    "mlflow_experiment": Row(_text, "a name", bool),
    "save_artifacts": _FLAG,
    "save_interval": _count(0),
    "save_all_states": _FLAG,
    "keep_checkpoints": _count(1),
    # "1" and "0" on the command line mean a flag, not a folder of that name.
    "resume_on_other_data": _choice(True, False),
    "resume": Row(_flag_or_text, "True, False or the path of a checkpoint", lambda value: value not in ("", "0", "1")),
}

# Keys whose texts are paths, and InsightFace's name for one.
PATH_KEYS = frozenset(key for key, row in SCHEMA.items() if row is _PATH) | {"resume", "rec"}
SECRETS = frozenset({"wandb_key"})  # keys whose values no file and no log shows


def settle(key: str, value: Any, place: str) -> Any:
    """The value of `key` in the key's own type.

    Raises UserError, naming `place` (such as "in configs/demo.py"), if the type is wrong or the value impossible.
    """
    return _first_that_fits(key, [value], repr(value), place)


def settle_text(key: str, text: str, place: str) -> Any:
    """As `settle`, for a typed value: a Python literal, true or false, plain text, or names with commas."""
    return _first_that_fits(key, _readings(text), text, place)


def _readings(text: str) -> list[Any]:
    """What a typed text can mean, the likeliest first."""
    try:
        literal = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that literal_eval may raise
        flags = {"true": True, "false": False}
        return [flags.get(text.lower(), text), text]
    if literal is None:
        return [None]
    return [literal, text, (literal,)]  # a number where a tuple of numbers is meant; text for a folder called 2024


def _first_that_fits(key: str, readings: list[Any], shown: str, place: str) -> Any:
    row = SCHEMA.get(key) or OLD_KEYS[key]
    for reading in readings:
        with suppress(TypeError, ValueError, OverflowError):  # OverflowError: int(inf), float(10**400)
            value = row.kind(reading)
            if row.check(value):
                return value
            break
    raise UserError(f"{key} = {hide_password(shown)} {place} is not possible: it must be {row.allowed}.")
