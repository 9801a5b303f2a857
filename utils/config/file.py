"""Finding a config file and executing it, apart from every other."""

import ast
import difflib
import os
import runpy
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.config.schema import PATH_KEYS
from utils.errors import UserError

REPO = Path(__file__).resolve().parents[2]
BASE_FILE = REPO / "configs" / "base.py"


def find_config(name: str | Path) -> Path:
    """The file that `name` means: a path, looked for in the cwd, then in the repo; or a bare name as `ms1mv3_r50`.

    A bare name is a run of the repo's configs/ before anything else: what it names is run, and the cwd may hold a
    program that happens to have that name.

    Raises UserError listing the nearest names if there is none.
    """
    file = Path(name) if Path(name).suffix == ".py" else Path(f"{name}.py")
    candidates = [folder for root in (Path.cwd(), REPO) for folder in (root / file, root / "configs" / file)]
    if str(name) == file.stem:
        candidates.insert(0, BASE_FILE.parent / file)
    for candidate in candidates:
        try:
            if candidate.is_file():
                return candidate
        except OSError as error:  # a closed folder, or a name that no file can have
            raise UserError(f"The config file {name} cannot be looked for: {error.strerror}.") from None
    runs = sorted(path.stem for path in BASE_FILE.parent.glob("*.py") if path.stem not in ("__init__", "base"))
    near = difflib.get_close_matches(file.stem, runs, n=3, cutoff=0.5)
    known = f"the nearest names are {', '.join(near)}" if near else f"the names known are {', '.join(runs)}"
    raise UserError(f"There is no config file {name}; {known}.")


def show_path(path: Path) -> str:
    """`path` as a reader finds it soonest: relative to the cwd or to the repo, if it lies there."""
    for root in (Path.cwd(), REPO):
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return str(path)


def from_folder(layer: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The layer with its relative paths meant from `folder`; as they were written if the cwd is the repo."""
    if Path.cwd() == REPO:
        return dict(layer)
    moved = {key: os.path.join(folder, layer[key]) for key in layer if key in PATH_KEYS and is_relative(layer[key])}
    return {**layer, **moved}


def is_relative(value: object) -> bool:
    """Whether the value of a key that holds a path is a relative one."""
    if not isinstance(value, str) or value in ("", "None", "True", "False", "synthetic"):
        return False
    return "://" not in value and not os.path.isabs(value)


def run_config_file(path: Path) -> dict:
    """The keys that the file states in its `config`.

    The file may build on another, such as `from configs.datasets.ms1mv3 import config` or
    `from configs.base import config`; of base's values, those left as they are do not count as stated.
    Raises UserError, with file and line, if the file cannot be executed or has no `config`.
    """
    with _private_configs():
        try:
            config = runpy.run_path(str(path)).get("config")
        except SystemExit:
            raise UserError(f"{show_path(path)} ends the program; a config only states keys.") from None
        except Exception as error:  # whatever the file does wrong is its author's to put right
            raise UserError(f"{_where(error, path)}: {type(error).__name__}: {_message(error)}.") from error
        base = getattr(sys.modules.get("configs.base"), "config", None)
    if not isinstance(config, dict):
        raise UserError(
            f"{show_path(path)} has no config; it must hold the line `config = edict()`, and the keys after it."
        )
    stated = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in config.items()}  # of NumPy
    if config is base:
        defaults = run_config_file(BASE_FILE)
        return {key: value for key, value in stated.items() if key not in defaults or value != defaults[key]}
    return stated


def written_keys(path: Path) -> set[str] | None:
    """The keys that a file assigns as `config.KEY = ...`, by its source alone; None if it has no `config`."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (OSError, ValueError, SyntaxError, MemoryError, RecursionError):  # of no Python, or of another version's
        return None
    assigned = [
        node for node in nodes if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    imported = {name.asname or name.name for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names}
    if "config" not in imported.union(node.id for node in assigned if isinstance(node, ast.Name)):
        return None
    return {node.attr for node in assigned if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "config"}


@contextmanager
def _private_configs() -> Iterator[None]:
    """Import `configs.*` of this repo afresh: an edict that one file changes must not be seen by the next."""
    kept = _forget_configs()
    sys.path.insert(0, str(REPO))
    try:
        yield
    finally:
        sys.path.remove(str(REPO))
        _forget_configs()
        sys.modules.update(kept)


def _forget_configs() -> dict:
    names = [name for name in sys.modules if name == "configs" or name.startswith("configs.")]
    return {name: sys.modules.pop(name) for name in names}


def _message(error: Exception) -> str:
    return str(error.msg if isinstance(error, SyntaxError) else error)


def _where(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{show_path(Path(error.filename))}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{show_path(path)}, line {lines[-1]}" if lines else show_path(path)
