"""A page that compares runs: their curves over each other, their figures, and what their configs differ in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pages.charts import Chart, Series
from pages.html import table
from pages.page import page
from tracking.facts import changes_training, read_facts
from tracking.history import HISTORY
from tracking.run_page import CONTROLS, verified_sets
from tracking.series import Curve, Curves, read_curves
from utils.errors import UserError

_TRAINING = (  # name in a history, title, of a percentage, smoothed
    ("train/loss", "Loss", False, True),
    ("train/accuracy", "Accuracy on the training batch", True, True),
    ("train/learning_rate", "Learning rate", False, False),
    ("train/samples_per_second", "Images per second", False, False),
)
_FIGURES = {"accuracy": "accuracy", "tar_at_far_1e-3": "TAR at FAR 1e-3"}


@dataclass(frozen=True)
class Run:
    """name: that no other of the page has; facts: of its `run.json`."""

    name: str
    facts: Mapping[str, Any]
    curves: Curves


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in these folders. Raises UserError where one is no run's, is named twice, or its files are damaged."""
    for folder in folders:
        if not (folder / HISTORY).is_file():
            raise UserError(f"{folder} is not the folder of a run: it has no {HISTORY}")
    places = [folder.resolve() for folder in folders]
    for place in places:
        if places.count(place) > 1:
            raise UserError(f"{place} is given twice; leave one out")
    short = [place.name for place in places]
    names = [str(folder) if short.count(name) > 1 else name for folder, name in zip(folders, short, strict=True)]
    return [
        Run(name, read_facts(folder), read_curves(folder / HISTORY))
        for name, folder in zip(names, folders, strict=True)
    ]


def comparison_page(runs: Sequence[Run], by_images: bool = False) -> bytes:
    """by_images: curves are over the images that were trained on, not over steps, whose batches may differ.

    Raises UserError if that is wanted of a run that does not say how large its batches are.
    """
    factors = [_images_of_a_step(run) if by_images else 1 for run in runs]
    charts = _charts(runs, factors, "images" if by_images else "step")
    parts = [
        f"<h1>{len(runs)} runs compared</h1>\n",
        table(*_figures(runs)),
        "<h2>Curves</h2>\n",
        CONTROLS,
        '<div class="charts">\n',
        *(chart.html() for chart in charts),
        "</div>\n",
        _differences(runs),
    ]
    return page("Runs compared", parts, charts)


def _charts(runs: Sequence[Run], factors: Sequence[int], x_label: str) -> list[Chart]:
    """Every figure that a run has, of all runs that have it."""
    sets = dict.fromkeys(name for run in runs for name in verified_sets(run.curves))
    wanted = [
        *_TRAINING,
        *(
            (f"verification/{name}/{figure}", f"{name}: {words}", True, False)
            for name in sets
            for figure, words in _FIGURES.items()
        ),
    ]
    charts = []
    for number, (name, title, percent, smooths) in enumerate(wanted):
        style = "marked" if name.startswith("verification/") else "line"
        series = [
            Series(run.name, [step * factor for step in run.curves[name].steps], run.curves[name].values, style, place)
            for place, (run, factor) in enumerate(zip(runs, factors, strict=True))
            if name in run.curves
        ]
        if series:
            kind = "percent" if percent else "number"
            charts.append(Chart(f"c{number}", title, series, x_label, "step", kind, smooths=smooths, sync="steps"))
    return charts


def _figures(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    sets = list(dict.fromkeys(name for run in runs for name in verified_sets(run.curves)))
    head = ["run", "state", "steps", "loss", *(f"{name}, best" for name in sets), "images per second"]
    rows = []
    for run in runs:
        best = [_best(run, name) for name in sets]
        loss, speed = run.curves.get("train/loss"), run.curves.get("train/samples_per_second")
        rows.append(
            [
                run.name,
                run.facts.get("state", ""),
                f"{run.curves.last_step:,}",
                f"{loss.values[-1]:.4g}" if loss else "",
                *best,
                f"{_middle(speed):,.0f}" if speed else "",
            ]
        )
    return head, rows


def _best(run: Run, name: str) -> str:
    """The best accuracy on a set, and its step; of an older run the best of its curve."""
    if known := (run.facts.get("best") or {}).get(name):
        return f"{known['accuracy']:.3%} (step {known['step']:,})"
    curve = run.curves.get(f"verification/{name}/accuracy")
    if curve is None:
        return ""
    accuracy, step = max(zip(curve.values, curve.steps, strict=True))
    return f"{accuracy:.3%} (step {step:,})"


def _middle(curve: Curve) -> float:
    """The median."""
    return sorted(curve.values)[len(curve.values) // 2]


def _differences(runs: Sequence[Run]) -> str:
    """The keys of the configs that are not the same in all runs."""
    configs = [{key: value for key, value, _ in run.facts.get("config") or ()} for run in runs]
    if not all(configs):
        return ""
    keys = dict.fromkeys(key for config in configs for key in config)
    rows = [
        [key, *(config.get(key, "") for config in configs)]
        for key in keys
        if changes_training(key) and len({config.get(key) for config in configs}) > 1
    ]
    if not rows:
        return "<h2>Config</h2>\n<p>The configs are the same.</p>\n"
    return "<h2>What the configs differ in</h2>\n" + table(["key", *(run.name for run in runs)], rows, "words")


def _images_of_a_step(run: Run) -> int:
    batch: int | None = run.facts.get("global_batch")
    if not batch:
        raise UserError(f"{run.name} does not say how many images a step takes; compare by steps")
    return batch
