"""A trained backbone on disk: `backbone.safetensors` with arcface_torch's tensor names, and `config.json` beside it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deploy.input_format import OWN, InputFormat, own_format, parse_input
from utils.errors import UserError
from utils.files import make_folder, publish
from utils.pixels import ImageShape
from utils.reading.json_file import check_fields, is_positive, is_text, read_object
from utils.tensor_file import SEAL, open_tensors, read_tensors, write_tensors

_LARGEST_EMBEDDING = 1 << 16
WEIGHTS, DESCRIPTION = "backbone.safetensors", "config.json"
_FAULT = "does not say network and embedding_size"


def save_backbone(
    folder: Path,
    state: Mapping[str, np.ndarray],
    network: str,
    embedding_size: int,
    input_format: InputFormat = OWN,
    **about: str | int,
) -> Path:
    """Writes weights and description into `folder`, each whole or not at all; returns the weights' path.

    about: what else the description says, such as the `step` that it was trained to (`trained_steps`).
    """
    make_folder(folder)
    about = {
        "network": network,
        "embedding_size": embedding_size,
        "input": str(input_format),
        **about,
    }
    weights, description = (folder / (name + ".partial") for name in (WEIGHTS, DESCRIPTION))
    try:
        write_tensors(weights, state, {key: str(value) for key, value in about.items()}, sealed=True)
        with open_tensors(weights) as file:
            about[SEAL] = file.metadata()[SEAL]
        description.write_text(json.dumps(about, indent=2) + "\n")
        publish(description, folder / DESCRIPTION)
        publish(weights, folder / WEIGHTS)
    finally:
        for left in (weights, description):  # of a disk that was full
            left.unlink(missing_ok=True)
    return folder / WEIGHTS


def load_backbone(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The weights by name and their description, from a `.safetensors` file or the folder of a run or checkpoint.

    Raises UserError where there is no model, or no description beside it.
    """
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"there is no model at {file}; train one first, or say where it is with --model")
    description = file.with_name(DESCRIPTION)
    try:
        about = read_object(description, _FAULT)
    except FileNotFoundError:
        raise UserError(f"{description} is missing; it must stand beside {file.name} and name its network") from None
    check_fields(description, about, _FAULT, _RULES)
    return read_tensors(file), _of_these(about, file)


def _of_these(about: dict, file: Path) -> dict:
    """The description, or what the weights say themselves if it is of others: of a model that was not written whole.

    Raises UserError if they do not say it.
    """
    with open_tensors(file) as tensors:
        own = tensors.metadata() or {}
    if SEAL not in about or SEAL not in own or about[SEAL] == own[SEAL]:
        return about
    size = own.get("embedding_size", "")
    said = {**own, "embedding_size": int(size) if re.fullmatch("[0-9]{1,9}", size) else None}
    check_fields(file, said, _FAULT, _RULES, f"{DESCRIPTION} beside it is of other weights")
    return said


def trained_steps(path: Path) -> int | None:
    """The step that the weights, of a file or folder, were trained to; None if they do not say it.

    Raises UserError where there are none.
    """
    with open_tensors(path / WEIGHTS if path.is_dir() else path) as tensors:
        step = (tensors.metadata() or {}).get("step", "")
    return int(step) if re.fullmatch("[0-9]{1,18}", step) else None


def _is_size(value: Any) -> bool:
    return is_positive(value) and value <= _LARGEST_EMBEDDING


_RULES = {"network": is_text, "embedding_size": _is_size}


def input_of(about: Mapping, path: Path) -> InputFormat:
    """What a model with this description takes. Raises UserError if that is not what networks here can take."""
    taken = parse_input(str(about.get("input", "")))
    if taken.layout != OWN.layout:
        raise UserError(f"the {DESCRIPTION} of {path} says {taken.layout}, but networks here take {OWN.layout}")
    return taken


def check_training_input(about: Mapping, source: str, shape: ImageShape) -> None:
    """Raises UserError if the model takes other pixels, or images of another shape, than training gives."""
    taken, given = input_of(about, Path(source)), own_format(shape)
    if taken.shape != shape:
        raise UserError(f"{source} takes {taken}, but this run gives {given}")
    if not taken.is_pixels(given):
        raise UserError(
            f"{source} takes {taken}, but training gives {given}; import it with --fold_input to train it on"
        )


def check_fits(wanted: Mapping[str, tuple[int, ...]], state: Mapping[str, np.ndarray], source: str) -> None:
    """Raises UserError naming the first tensors of `state` that are missing, unknown or of another shape."""
    wrong = [name for name in {**wanted, **state} if name not in state or wanted.get(name) != tuple(state[name].shape)]
    if wrong:
        names = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        raise UserError(f"{source} do not fit the network: {names} missing, unknown or of another shape")
