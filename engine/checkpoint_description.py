"""`checkpoint.json`: what a checkpoint is, with the checksums of its files and, last, one of itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.files import digest_of
from utils.reading.json_file import (
    check_fields,
    has_fields,
    is_count,
    is_number,
    is_positive,
    is_text,
    list_of,
    optional,
    read_object,
)

_SEAL = "sha256"
_FAULT = "is not that of a whole checkpoint"
_MAX_RANKS = 1 << 20
_MAX_BYTES = 16 << 20


def sealed_description(about: Mapping[str, object]) -> str:
    """The text of a description, with its seal."""
    return json.dumps({**about, _SEAL: _seal(about)}, indent=2)


def read_description(path: Path) -> tuple[dict, str | None]:
    """What a checkpoint.json says, and what a user should know of it, or None: those of before have no seal.

    Raises UserError where it is missing or damaged, whichever way.
    """
    try:
        about = read_object(path, _FAULT, max_bytes=_MAX_BYTES)
    except FileNotFoundError:
        raise UserError(f"{path.parent} is not a whole checkpoint: {path.name} is missing") from None
    seal = about.pop(_SEAL, None)
    if seal is not None and seal != _seal(about):
        raise UserError(f"{path} {_FAULT}: it was altered, or is damaged")
    check_fields(path, about, _FAULT, _REQUIRED)
    check_fields(path, about, _FAULT, {key: rule for key, rule in _OPTIONAL.items() if key in about})
    return about, None if seal else f"{path} is of an earlier release: it has no checksum of itself"


def _seal(about: Mapping[str, object]) -> str:
    text = json.dumps({key: value for key, value in about.items() if key != _SEAL}, sort_keys=True)
    return digest_of([text.encode()])


def _is_files(value: Any) -> bool:
    """A size and a checksum by the name of a file beside this one."""
    sealed = {"bytes": is_count, "crc32": is_count}
    return isinstance(value, dict) and all(
        is_text(name) and Path(name).name == name and has_fields(one, sealed) for name, one in value.items()
    )


def _is_mapped(value: Any) -> bool:
    return has_fields(value, {"folder": is_text, "identity": is_count})


def _is_best(value: Any) -> bool:
    """An accuracy and its step, by the name of a verification set."""
    return isinstance(value, dict) and all(
        is_text(name) and isinstance(best, list) and len(best) == 2 and is_number(best[0]) and is_count(best[1])
        for name, best in value.items()
    )


_REQUIRED = {
    "step": is_count,
    "ranks": lambda value: is_positive(value) and value <= _MAX_RANKS,
    "network": is_text,
    "embedding_size": is_positive,
    "files": _is_files,
}
_OPTIONAL = {
    "best": optional(is_number),
    "best_step": optional(is_count),
    "best_of": _is_best,
    "num_classes": is_positive,
    "global_batch": is_positive,
    "steps_per_epoch": is_positive,
    "phase": is_count,
    "image_shape": list_of(is_positive),
    "head_files": optional(_is_mapped),
    "optimizer": is_text,
    "head_optimizer": is_text,
    "loss": is_text,
    "sampler": optional(is_text),
    "teacher": optional(is_text),
    "teacher_digest": optional(is_text),
}
