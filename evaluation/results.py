"""What an evaluation found, as plain data: JSON for programs, CSV for tables, Markdown for people.

A result is of one model on one set. `kind` is "verification" or "ijb"; what a curve says is the same in both.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluation.curves import Roc, pairs_needed
from evaluation.verification import FAR_TARGET, Judged
from utils.errors import UserError
from utils.files import write_whole
from utils.reading.json_file import is_count, is_number, is_text, optional, read_object

FARS = tuple(10.0**-power for power in range(1, 7))
_EDGES = np.linspace(-1, 1, 101)  # of cosines
_POINTS = 500
_LARGEST_FIGURE = 1e12
_CURVE_KEYS = {"kind", "name", "model", "pairs", "same", "tar_at_far", "auc", "eer", "roc", "histogram"}
_KEYS = {
    "verification": _CURVE_KEYS | {"accuracy", "std", "threshold", "xnorm", "folds", "hardest"},
    "ijb": _CURVE_KEYS | {"setting", "identification"},
}


def far_key(far: float) -> str:
    """The name of a false accept rate in a result, such as 1e-04."""
    return f"{far:.0e}"


def curve_facts(curve: Roc) -> dict:
    """What a curve of cosines says: counts, TAR and threshold at the usual FARs, AUC, EER, points and a histogram.

    null stands for what the number of pairs does not allow.
    """
    far, tar = curve.sampled(_POINTS)
    same, different = curve.histogram(_EDGES)
    return {
        "pairs": curve.same + curve.different,
        "same": curve.same,
        "tar_at_far": {far_key(each): curve.tar_at(each) for each in FARS},
        "threshold_at_far": {far_key(each): _finite(curve.threshold_at(each)) for each in FARS},
        "auc": curve.auc,
        "eer": curve.eer,
        "roc": {"far": far.tolist(), "tar": tar.tolist()},
        "histogram": {"edges": _EDGES.tolist(), "same": same.tolist(), "different": different.tolist()},
    }


def verification_result(
    name: str,
    model: str,
    judged: Judged,
    curve: Roc,
    hardest: Sequence[dict] = (),
    pca: int = 0,
    about: Mapping[str, str] | None = None,
) -> dict:
    """The result of a set of pairs. Thresholds are squared distances d, cosines are 1 - d / 2.

    about: what it was of, in words by their names (`evaluation.about`).
    """
    result = judged.result
    return {
        "kind": "verification",
        "name": name,
        "model": model,
        "about": dict(about or {}),
        **curve_facts(curve),
        "accuracy": result.accuracy,
        "std": result.std,
        "threshold": result.threshold,
        "cosine": 1 - result.threshold / 2,
        "pca": pca,
        "tar_of_folds": {
            "far_target": FAR_TARGET,
            "tar": _finite(result.tar),
            "std": _finite(result.tar_std),
            "far": _finite(result.far),
        },
        "xnorm": result.xnorm,
        "folds": [
            {"accuracy": float(accuracy), "threshold": float(threshold)}
            for accuracy, threshold in zip(judged.accuracies, judged.thresholds, strict=True)
        ],
        "hardest": list(hardest),
    }


def measures(result: dict) -> dict[str, str]:
    """The figures of a result by their names, as people read them."""
    figures = {}
    if result["kind"] == "verification":
        figures["accuracy"] = f"{result['accuracy']:.2%} ± {result['std']:.2%}"
        figures["distance threshold"] = f"{result['threshold']:.3f} (squared)"
        if (cosine := threshold_cosine(result)) is not None:
            figures["cosine threshold"] = f"{cosine:.3f}"
    for far, tar in result["tar_at_far"].items():
        figures[f"TAR@FAR={far}"] = show_tar(result, far, tar)
    figures["AUC"] = "n/a" if result["auc"] is None else f"{result['auc']:.5f}"
    figures["EER"] = "n/a" if result["eer"] is None else f"{result['eer']:.2%}"
    if result["kind"] == "verification":
        figures["XNorm"] = f"{result['xnorm']:.3f}"
    for name, share in result.get("identification", {}).items():
        figures[name] = "n/a" if share is None else f"{share:.2%}"
    return figures


def threshold_cosine(result: dict) -> float | None:
    """The most accurate threshold as a cosine; None without one, and for principal components, whose scores differ."""
    return None if result.get("pca") or "threshold" not in result else 1 - result["threshold"] / 2


def show_tar(result: dict, far: str, tar: float | None) -> str:
    if tar is not None:
        return f"{tar:.2%}"
    needed = pairs_needed(float(far))
    missing = "same" if result["pairs"] - result["same"] >= needed else f"{needed:,} different"
    return f"n/a (needs {missing} pairs)"


def variant(result: dict) -> str:
    """How the set was evaluated, where there are several ways: IJB's setting, or principal components."""
    if "variant" in result:  # a report may say it elsewhere
        return result["variant"]
    return result.get("setting") or (f"PCA {result['pca']}" if result.get("pca") else "")


def title(result: dict) -> str:
    """The set, and how it was evaluated."""
    return f"{result['name']} {variant(result)}".strip()


def write_result(result: dict, folder: Path, stem: str) -> Path:
    """Writes `stem`.csv, .md and .json into the folder, each whole or not at all; the path of the .json."""
    write_whole(folder / f"{stem}.csv", _csv(result).encode())
    write_whole(folder / f"{stem}.md", _markdown(result).encode())
    path = folder / f"{stem}.json"
    write_whole(path, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False).encode())
    return path


def read_result(path: Path) -> dict:
    """A result that `write_result` wrote. Raises UserError where it is none."""
    try:
        result = read_object(path, "is not a result of an evaluation")
    except FileNotFoundError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not is_text(result.get("kind")) or result["kind"] not in _KEYS:
        raise UserError(f"{path} is not a result of an evaluation: its kind is neither {' nor '.join(_KEYS)}")
    missing = _KEYS[result["kind"]] - result.keys()
    if missing:
        raise UserError(f"{path} is not a whole result: {', '.join(sorted(missing))} missing")
    if not _well_formed(result):
        raise UserError(f"{path} is not a result as an evaluation writes it; evaluate again")
    return result


def _well_formed(result: dict) -> bool:
    """Whether what pictures and tables are made of has the right types, lengths and ranges."""
    try:
        curve, histogram = result["roc"], result["histogram"]
        far, tar = (_numbers(curve[key]) for key in ("far", "tar"))
        edges, *counts = (_numbers(histogram[key]) for key in ("edges", "same", "different"))
        maybe = [*result["tar_at_far"].values(), *result.get("identification", {}).values()]
        maybe += [result["auc"], result["eer"], result.get("cosine")]
        shares = list(map(float, result["tar_at_far"]))
        shares += [result[key] for key in ("accuracy", "std", "threshold", "xnorm") if key in result]
        shares += [fold[key] for fold in result.get("folds", ()) for key in ("accuracy", "threshold")]
        names = [result["name"], result["model"], result.get("setting") or "", result.get("variant", "")]
        for pair in result.get("hardest", ()):
            shares.append(pair["score"])
            names += [pair["strip"], *_list(pair["images"])]
        about = result.get("about", {})
        names += [*about.keys(), *about.values()]
        rejects = result.get("error_versus_reject", {"fmr": 0, "dropped": [], "fnmr": []})
        maybe += _list(rejects["fnmr"])
        shares += [rejects["fmr"], *_list(rejects["dropped"])]
        return (
            far.size == tar.size
            and len(rejects["dropped"]) == len(rejects["fnmr"])
            and edges.size > 1
            and bool((np.diff(edges) > 0).all())
            and all(count.size == edges.size - 1 and count.min() >= 0 for count in counts)
            and any(count.any() for count in counts)
            and all(map(_is_figure, shares))
            and all(map(optional(_is_figure), maybe))
            and all(map(is_text, names))
            and all(type(pair["same"]) is bool for pair in result.get("hardest", ()))
            and all(map(is_count, (result["pairs"], result["same"], result.get("pca", 0))))
            and result["same"] <= result["pairs"] > 0
            and ("folds" not in result or len(result["folds"]) > 0)
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return False


def _numbers(values: object) -> np.ndarray:
    """A list of figures as an array. Raises ValueError."""
    if not all(map(_is_figure, _list(values))):
        raise ValueError("not all are numbers")
    return np.array(values, float)


def _list(values: object) -> list:
    if not isinstance(values, list):
        raise TypeError("it is no list")
    return values


def _is_figure(value: object) -> bool:
    """A number that a picture has room for."""
    return is_number(value) and abs(value) < _LARGEST_FIGURE


def _csv(result: dict) -> str:
    """A line of names and a line of plain numbers; an empty field is a figure that the pairs do not allow."""
    fields = {key: result.get(key) for key in ("kind", "name", "setting", "model", "pairs", "same")}
    fields |= {key: result[key] for key in ("accuracy", "std", "threshold", "cosine", "xnorm", "pca") if key in result}
    fields |= {f"tar_at_far_{far}": tar for far, tar in result["tar_at_far"].items()}
    fields |= {"auc": result["auc"], "eer": result["eer"], **result.get("identification", {})}
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows([fields.keys(), fields.values()])
    return lines.getvalue()


def _markdown(result: dict) -> str:
    lines = [
        f"# {title(result)}",
        "",
        f"{result['model']} on {result['pairs']:,} pairs, {result['same']:,} of them same.",
    ]
    lines += ["", "| measure | value |", "| --- | ---: |"]
    lines += [f"| {name} | {value} |" for name, value in measures(result).items()]
    if "folds" in result:
        lines += ["", "| fold | accuracy | distance | cosine |", "| ---: | ---: | ---: | ---: |"]
        for number, fold in enumerate(result["folds"], 1):
            distance, cosine = fold["threshold"], 1 - fold["threshold"] / 2
            lines.append(f"| {number} | {fold['accuracy']:.2%} | {distance:.2f} | {cosine:.3f} |")
    if result.get("hardest"):
        lines += ["", "| hardest pairs | cosine | distance | images |", "| --- | ---: | ---: | --- |"]
        for pair in result["hardest"]:
            names = " and ".join(name.replace("|", "\\|") for name in pair["images"])
            kind, cosine = "same" if pair["same"] else "different", pair["score"]
            lines.append(f"| {kind} | {cosine:.4f} | {2 - 2 * cosine:.4f} | {names} |")
    return "\n".join([*lines, ""])


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
