"""What a run leaves: checkpoints and models."""

from pathlib import Path

import numpy as np

from deploy.weights import load_backbone, save_backbone
from engine.checkpoint import list_checkpoints, newest_checkpoint, save_checkpoint, set_aside_later, step_of
from tests.faults.writer import Writer
from tests.fuzz.formats.models import OneRank
from tests.fuzz.judge import digest
from utils.errors import UserError


def save(folder: Path, step: int, keep: int) -> None:
    """As `engine.hooks.Checkpoints` and train.py do, which say in the end what could not be saved."""
    about = {"step": step, "ranks": 1, "best": 0.5, "best_step": 0, "network": "r18", "embedding_size": 8}
    full = np.full((50, 8), step, np.float32)
    state, centers = {"backbone.fc.weight/m": full, "center_updates": np.array([step])}, {"head.weight": full}
    try:
        save_checkpoint(folder, about, {"fc.weight": full}, state, centers, {"bn.mean": full[1]}, OneRank(), keep)
    except OSError as error:
        raise UserError(f"step {step} could not be saved in {folder}: {error}") from None


def newest(folder: Path) -> str:
    """The step of the newest whole checkpoint, all of whose numbers are of that step."""
    found = newest_checkpoint(folder, OneRank(), lambda sentence: None)
    step = found.about["step"]
    numbers = [
        found.backbone(0, 1)["fc.weight"],
        found.state()["backbone.fc.weight/m"],
        found.centers().read("weight", 0, 50),
    ]
    assert all((array == step).all() for array in numbers)
    return str(step)


def make_two(folder: Path) -> None:
    save(folder, 1, 2)
    save(folder, 2, 2)
    description = folder / "step-00000002" / "checkpoint.json"  # a damaged one, which is written again
    description.write_text(description.read_text()[:-9])


def make_later(folder: Path) -> None:
    for step in (1, 2, 3):
        save(folder / "checkpoints", step, 3)
    save(folder / "checkpoints.previous", 9, 1)


def set_aside(folder: Path) -> None:
    """As train.py does."""
    try:
        set_aside_later(folder / "checkpoints", 1)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None


def newest_of_all(folder: Path) -> str:
    """The step that a run goes on from; no checkpoint is lost."""
    found = newest(folder / "checkpoints")
    assert {step_of(path) for part in folder.iterdir() for path in list_checkpoints(part)} >= {1, 2, 3}
    return found


def save_model(folder: Path, network: str, number: float) -> None:
    """As `engine.hooks.Checkpoints` does."""
    try:
        save_backbone(folder, {"fc.weight": np.full((50, 8), number, np.float32)}, network, 8)
    except OSError as error:
        raise UserError(f"the model could not be saved in {folder}: {error}") from None


def read_model(folder: Path) -> str:
    state, about = load_backbone(folder)
    return digest(state["fc.weight"], about["network"])


_CHECKPOINTS = ("engine.checkpoint", "engine.checkpoint_description", "utils.tensor_file")
WRITERS = (
    # Only the newest is kept, so that there is no third one to fall back to.
    Writer("checkpoint", _CHECKPOINTS, lambda folder: save(folder, 1, 1), lambda folder: save(folder, 2, 1), newest),
    Writer("again", _CHECKPOINTS, make_two, lambda folder: save(folder, 2, 2), newest),
    Writer("aside", _CHECKPOINTS, make_later, set_aside, newest_of_all),
    Writer(
        "model",
        ("deploy.weights",),
        lambda folder: save_model(folder, "r18", 1.0),
        lambda folder: save_model(folder, "r50", 2.0),
        read_model,
    ),
)
