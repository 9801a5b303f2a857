"""The thresholds a model was verified with, beside its weights: `thresholds.json`, or `NAME.thresholds.json` of a file.

{"digest": of the weights, "sets": [{"name", "cosine", "accuracy", "pairs"}, ...]}; the sets of the last verification
come first, in its order. Weights of another digest, of a later epoch for instance, have none.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.weights import WEIGHTS
from utils.errors import UserError
from utils.files import write_whole
from utils.reading.json_file import check_fields, has_fields, is_count, is_number, is_text, list_of, read_object

_NAME = "thresholds.json"
_REMEDY = "remove it and verify the model again, or give --threshold"


@dataclass(frozen=True)
class Threshold:
    """The best cosine on a verification set, and the share of its pairs that it judges rightly."""

    name: str
    cosine: float
    accuracy: float
    pairs: int


def measured_threshold(model: Path, digest: str) -> Threshold | None:
    """That of the set verified last (of several the first), or None if these weights were never verified.

    Raises UserError if the file is damaged.
    """
    known = _read(_beside(model), digest)
    return known[0] if known else None


def measured_thresholds(model: Path, digest: str) -> list[Threshold]:
    """All sets that these weights were verified on, those of the last one first; none if the file is damaged."""
    try:
        return _read(_beside(model), digest)
    except UserError:
        return []


def store_thresholds(model: Path, digest: str, results: Mapping[str, dict]) -> str:
    """Stores what the verification of these weights found, (`evaluation.results`) by set; a sentence that says where.

    Weights may lie where nobody may write, which is no reason to withhold the verification: then the sentence says so.
    """
    path = _beside(model)
    new = [
        Threshold(name, result["cosine"], result["accuracy"], result["pairs"])
        for name, result in results.items()
        if result["pairs"] > result["same"] > 0  # else there are no two kinds to separate
    ]
    try:
        known = _read(path, digest)
    except UserError:
        known = []
    sets = [asdict(each) for each in [*new, *(old for old in known if old.name not in results)]]
    try:
        write_whole(path, (json.dumps({"digest": digest, "sets": sets}, indent=1, ensure_ascii=False) + "\n").encode())
    except UserError as error:
        return f"The thresholds are not stored beside the weights: {error}"
    return f"{path}: the best thresholds, which tools/recognize.py takes"


def _beside(model: Path) -> Path:
    """A run's folder and the weights in it have one file."""
    if model.is_dir() or model.name == WEIGHTS:
        return (model if model.is_dir() else model.parent) / _NAME
    return model.with_name(f"{model.stem}.{_NAME}")


def _read(path: Path, digest: str) -> list[Threshold]:
    try:
        stored = read_object(path, "is damaged", _REMEDY)
    except FileNotFoundError:
        return []
    check_fields(path, stored, "is damaged", {"digest": is_text, "sets": list_of(_is_threshold)}, _REMEDY)
    if stored["digest"] != digest:
        return []
    return [Threshold(*(one[key] for key in ("name", "cosine", "accuracy", "pairs"))) for one in stored["sets"]]


def _is_threshold(one: Any) -> bool:
    rules = {"name": is_text, "cosine": is_number, "accuracy": is_number, "pairs": is_count}
    return has_fields(one, rules) and -1 <= one["cosine"] <= 1
