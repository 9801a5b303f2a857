"""Folders of drawn data: whole or not there, made once, and never in the place of something else."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from utils.errors import UserError
from utils.reading.json_file import read_object

MANIFEST = "demo.json"  # all that the folder's content depends on


def make_demo_folder(
    out: Path, what: str, parameters: dict[str, object], force: bool, fill: Callable[[Path], None]
) -> bool:
    """Has `fill` write into a folder that then becomes `out`; False if the same one is there and was left alone.

    what: such as "demo dataset". parameters: plain values. force: replace one made with other parameters, or the same.
    Raises UserError where `out` holds anything else, or cannot be written.
    """
    if _is_finished(out, what, parameters, force):
        return False
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            folder = Path(scratch) / "new"
            folder.mkdir()
            fill(folder)
            (folder / MANIFEST).write_text(json.dumps(parameters, indent=2) + "\n")
            if out.exists():
                out.rename(Path(scratch) / "old")
            folder.rename(out)
    except OSError as error:
        raise UserError(f"The {what} cannot be written to {out}: {error.strerror or error}.") from error
    return True


def _is_finished(out: Path, what: str, parameters: dict[str, object], force: bool) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        held = read_object(out / MANIFEST, "is damaged")
    except (OSError, UserError):
        raise UserError(f"{out} holds something that is not a {what}: give another folder.") from None
    if held == parameters:
        return not force
    if not force:
        differ = ", ".join(
            f"{key} {held.get(key, 'not stated')} (not {parameters.get(key, 'stated')})"
            for key in {**parameters, **held}
            if held.get(key) != parameters.get(key)
        )
        raise UserError(f"{out} holds a {what} with {differ}: give another folder, or --force to replace it.")
    return False
