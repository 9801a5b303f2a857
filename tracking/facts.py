"""`run.json` of a run: what it is and how it stands, as its page and comparisons of runs show it."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from utils.config.file import BASE_FILE, REPO, run_config_file
from utils.config.load import shown_value
from utils.config.schema import SCHEMA
from utils.files import show_name, write_whole
from utils.pixels import SIDES
from utils.reading.json_file import (
    Rule,
    check_fields,
    is_count,
    is_number,
    is_positive,
    is_text,
    list_of,
    optional,
    read_object,
)

FACTS = "run.json"
_PACKAGES = ("oneflow", "numpy", "opencv-python-headless", "tensorboardX", "onnxruntime")
_ASIDE = frozenset({"output", "resume", "verbose", "frequent", "save_interval", "keep_checkpoints", "save_artifacts"})
_TRACKERS = ("using_", "wandb_", "mlflow_", "suffix_", "tensorboard")
_SECONDS = 5  # for git, on a disk that is slow
_MOST_SAMPLES = 64  # images of a phase
STATES = ("training", "complete", "stopped", "failed")


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Raises UserError where it cannot be written."""
    write_whole(folder / FACTS, (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode(errors="replace"))


def read_facts(folder: Path) -> dict[str, Any]:
    """What a run says of itself; of a folder without `run.json`, of an older run, its name alone.

    Raises UserError where the file is damaged.
    """
    path, remedy = folder / FACTS, "remove it, and the run's page says less"
    try:
        facts = read_object(path, "is not of a run", remedy)
    except FileNotFoundError:
        return {"name": show_name(folder.resolve())}
    check_fields(path, {key: facts.get(key) for key in _RULES}, "is not of a run", _RULES, remedy)
    return facts


def _is_table(rule: Rule) -> Rule:
    return lambda value: isinstance(value, dict) and all(is_text(key) and rule(each) for key, each in value.items())


def _is_setting(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(is_text, value[:2])) and isinstance(value[2], bool)


def _is_phase(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(is_count(value.get(key)) for key in ("first", "stop"))
        and _is_table(is_text)(value.get("facts", {}))
    )


def _is_sitting(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and is_count(value.get("step"))
        and all(is_text(value.get(key)) for key in ("start", "end"))
    )


def _is_best(value: Any) -> bool:
    return isinstance(value, dict) and is_number(value.get("accuracy")) and is_count(value.get("step"))


def _is_sheet(value: Any) -> bool:
    sizes = {"count": _MOST_SAMPLES, "height": max(SIDES), "width": max(SIDES)}
    return isinstance(value, dict) and all(is_positive(value.get(key)) and value[key] <= sizes[key] for key in sizes)


_RULES = {
    "name": is_text,
    "state": lambda value: value in STATES,
    "reason": optional(is_text),
    "step": optional(is_count),
    "total_steps": optional(is_count),
    "global_batch": optional(is_count),
    "summary": optional(_is_table(is_text)),
    "versions": optional(_is_table(is_text)),
    "config": optional(list_of(_is_setting)),
    "phases": optional(list_of(_is_phase)),
    "sittings": optional(list_of(_is_sitting)),
    "best": optional(_is_table(_is_best)),
    "samples": optional(_is_table(_is_sheet)),
}


def config_facts(cfg: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """(key, value, whether it differs from configs/base.py) of each key, in base's order; secrets are not shown."""
    base = run_config_file(BASE_FILE)
    return [(key, shown_value(key, cfg[key]), cfg[key] != base[key]) for key in SCHEMA]


def changes_training(key: str) -> bool:
    """Whether a key of the config changes what comes out of a run, and not only what is written of it."""
    return key not in _ASIDE and not key.startswith(_TRACKERS)


def version_facts() -> dict[str, str]:
    """The versions of what a run computes with."""
    facts = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            continue
    return facts | {"system": platform.platform(), "code": code_version()}


def code_version() -> str:
    """The commit of this repository, or "" where it is none."""
    if not (REPO / ".git").exists():
        return ""
    command = ["git", "-C", str(REPO), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True, env=_plain())
    except (OSError, subprocess.SubprocessError):
        return ""
    return "commit " + described.stdout.strip().replace("-dirty", ", with changes")


def _plain() -> dict[str, str]:
    """The environment without what makes git look at another repository."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
