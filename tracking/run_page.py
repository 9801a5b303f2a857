"""What a run's page says."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from html import escape
from pathlib import Path
from stat import S_ISREG
from typing import Any
from urllib.parse import quote

from pages.charts import Chart, Series
from pages.html import data_uri, facts, folded, link, table, tiles
from pages.page import page
from tracking.series import Curves
from utils.files import show_size

_FILES = {
    "training.log": "what the run printed",
    "config.py": "the whole config; it can be trained from again",
    "history.jsonl": "all figures, an object a line",
    "run.json": "what this page says of the run, for programs",
    "learning_curve.png": "loss and accuracy as a picture",
}
_WORDS = {"training": "training", "complete": "complete", "stopped": "stopped", "failed": "failed"}
_ALL_LOSSES = {"train/loss": "all together"}
SAMPLES = "samples"  # the folder of pictures of training images
CONTROLS = (
    '<div class="controls"><label>smoothing <input type="range" id="smoothing" min="0" max="0.98" step="0.02" '
    'value="0"> <span id="smoothing-value">off</span></label></div>\n'
)
_JPEG = b"\xff\xd8"


def run_page(output: Path, run: Mapping[str, Any], curves: Curves) -> bytes:
    """The page of the run in `output`, from what `run.json` says of it and its curves.

    It links to the files of that folder and holds its samples of training images.
    """
    charts = train_charts(curves, _marks(run)) + verification_charts(curves, _marks(run))
    state = run.get("state", "stopped")
    parts = [*_head(run, state), tiles(_tiles(run, curves))]
    if charts:
        parts += ["<h2>Curves</h2>\n", CONTROLS, '<div class="charts">\n', *(chart.html() for chart in charts)]
        parts.append("</div>\n")
        together = max(curve.together for curve in curves.values())
        if together > 1:
            parts.append(f'<p class="note">A point is the mean of {together} log lines; history.jsonl has all.</p>\n')
    parts += [_verification(run, curves), _phases(run), _samples(output, run), _models(output, run), _config(run)]
    return page(f"{run['name']}: training", parts, charts, state)


def train_charts(curves: Curves, marks: Sequence[tuple[float, str]] = ()) -> list[Chart]:
    """Losses by name, accuracy, learning rate and speed, over steps."""
    chart = partial(Chart, x_label="step", x_kind="step", sync="steps", marks=marks)
    charts = []
    losses = {name: curve for name, curve in curves.items() if _is_loss(name)}
    if losses:
        only = len(losses) == 1
        drawn = [
            Series(
                "loss" if only else _ALL_LOSSES.get(name, name.removeprefix("train/loss/")), curve.steps, curve.values
            )
            for name, curve in losses.items()
        ]
        charts.append(chart("loss", "Loss", drawn, smooths=True))
    if series := _series(curves, "train/accuracy", "accuracy"):
        charts.append(chart("accuracy", "Accuracy on the training batch", series, y_kind="percent", smooths=True))
    if series := _series(curves, "train/learning_rate", "learning rate"):
        charts.append(chart("rate", "Learning rate", series, y_range=(0, None)))
    if series := _series(curves, "train/samples_per_second", "images per second"):
        charts.append(chart("speed", "Images per second", series, y_range=(0, None)))
    return charts


def _series(curves: Curves, name: str, shown: str) -> list[Series]:
    """One series, or none if the run has no such curve."""
    return [Series(shown, curves[name].steps, curves[name].values)] if name in curves else []


def verification_charts(curves: Curves, marks: Sequence[tuple[float, str]] = ()) -> list[Chart]:
    """Accuracy and TAR of each verification set, over steps."""
    charts = []
    for key, figure, title in (
        ("verification", "accuracy", "Verification: accuracy"),
        ("tar", "tar_at_far_1e-3", "Verification: TAR at FAR 1e-3, mean of folds"),
    ):
        series = [
            Series(name, curves[full].steps, curves[full].values, "marked")
            for name in verified_sets(curves)
            if (full := f"verification/{name}/{figure}") in curves
        ]
        if series:
            charts.append(Chart(key, title, series, "step", "step", "percent", sync="steps", marks=marks))
    return charts


def verified_sets(curves: Curves) -> list[str]:
    """The names of the sets whose accuracy is among the curves."""
    begin, end = "verification/", "/accuracy"
    return [name[len(begin) : -len(end)] for name in curves if name.startswith(begin) and name.endswith(end)]


def _is_loss(name: str) -> bool:
    return name == "train/loss" or name.startswith("train/loss/")


def _marks(run: Mapping[str, Any]) -> tuple[tuple[float, str], ...]:
    phases = run.get("phases") or ()
    return (
        tuple((phase["first"], f"phase {number}") for number, phase in enumerate(phases, 1)) if len(phases) > 1 else ()
    )


def _head(run: Mapping[str, Any], state: str) -> list[str]:
    sittings = run.get("sittings") or ()
    parts = [f'<h1>{escape(run["name"])}<span class="badge">{_WORDS[state]}</span></h1>\n']
    if sittings:
        end = sittings[-1]["end"]
        started = f"Started {_date(sittings[0]['start'])}"
        again = f", resumed {len(sittings) - 1} time{'s' * (len(sittings) > 2)}" if len(sittings) > 1 else ""
        written = "last written" if state == "training" else "ended"
        parts.append(
            f'<p class="note">{escape(started + again)}, {written} <time datetime="{escape(end)}">{escape(_date(end))}'
            f"</time>, {_duration(sum(map(_seconds, sittings)))} in all."
        )
        if state == "training":
            parts.append(' <label><input type="checkbox" id="reload"> reload every 30 seconds</label>')
        parts.append("</p>\n")
    if run.get("reason"):
        parts.append(f'<p class="alert">{escape(run["reason"])}</p>\n')
    step, total = run.get("step") or 0, run.get("total_steps") or 0
    if total:
        parts.append(f'<div class="bar"><i style="width: {100 * min(step / total, 1):.2f}%"></i></div>\n')
    return parts


def _tiles(run: Mapping[str, Any], curves: Curves) -> list[tuple[str, str, str]]:
    step, total, batch = (run.get(key) or 0 for key in ("step", "total_steps", "global_batch"))
    shown = []
    if total:
        shown.append(("steps", f"{step:,}", f"of {total:,}, {step / total:.0%}"))
    if "train/loss" in curves:
        shown.append(
            ("loss", f"{curves['train/loss'].values[-1]:.4g}", f"at first {curves['train/loss'].values[0]:.4g}")
        )
    for name in verified_sets(curves):
        best = (run.get("best") or {}).get(name)
        values = curves[f"verification/{name}/accuracy"].values
        below = f"best {best['accuracy']:.2%}, step {best['step']:,}" if best else "last verification"
        shown.append((name, f"{values[-1]:.2%}", below))
    if "train/samples_per_second" in curves:
        speed = curves["train/samples_per_second"].values[-1]
        left = f"{_duration((total - step) * batch / speed)} left" if run.get("state") == "training" and speed else ""
        shown.append(("images per second", f"{speed:,.0f}", left))
    if "train/learning_rate" in curves:
        rates = curves["train/learning_rate"].values
        shown.append(("learning rate", f"{rates[-1]:.3g}", f"at most {max(rates):.3g}"))
    return shown


def _verification(run: Mapping[str, Any], curves: Curves) -> str:
    rows = []
    for name in verified_sets(curves):
        curve = curves[f"verification/{name}/accuracy"]
        best = (run.get("best") or {}).get(name)
        tar = curves.get(f"verification/{name}/tar_at_far_1e-3")
        rows.append(
            [
                name,
                f"{curve.values[-1]:.3%}",
                f"{tar.values[-1]:.2%}" if tar else "",
                f"{curve.steps[-1]:,}",
                f"{best['accuracy']:.3%}" if best else "",
                f"{best['step']:,}" if best else "",
            ]
        )
    if not rows:
        return ""
    head = ["set", "accuracy", "TAR at FAR 1e-3", "at step", "best accuracy", "at step"]
    return "<h2>Verification</h2>\n" + table(head, rows)


def _phases(run: Mapping[str, Any]) -> str:
    phases = run.get("phases") or ()
    if not phases:
        return ""
    names = list(dict.fromkeys(name for phase in phases for name, words in phase["facts"].items() if words))
    head = ["phase", "steps", *names]
    rows = [
        [str(number), f"{phase['first']:,} to {phase['stop']:,}", *(phase["facts"].get(name, "") for name in names)]
        for number, phase in enumerate(phases, 1)
    ]
    return "<h2>Phases</h2>\n" + table(head, rows, "words")


def _samples(output: Path, run: Mapping[str, Any]) -> str:
    samples = run.get("samples") or {}
    parts = []
    for name, about in sorted(samples.items()):
        try:
            content = (output / SAMPLES / f"{name}.jpg").read_bytes()
        except OSError:
            continue
        if content.startswith(_JPEG):
            parts.append(f"<h3>{escape(name.replace('-', ' ').capitalize())}</h3>\n" if len(samples) > 1 else "")
            parts.append(_sheet(content, about))
    if not parts:
        return ""
    words = "The first images that rank 0 trained on, as the network gets them: augmented, mirrored, scaled."
    return f'<h2>Training images</h2>\n<p class="note">{words}</p>\n' + "".join(parts)


def _sheet(content: bytes, about: Mapping[str, int]) -> str:
    """Images that lie side by side in one picture, each by itself, so that they fill the reader's width."""
    width, height = about["width"], about["height"]
    images = "".join(
        f'<i role="img" aria-label="training image {number + 1}" style="background-position: -{number * width}px 0; '
        f'width: {width}px; height: {height}px"></i>'
        for number in range(about["count"])
    )
    return f'<div class="samples" style="--sheet: url({data_uri(content, "jpeg")})">{images}</div>\n'


def _models(output: Path, run: Mapping[str, Any]) -> str:
    """Links to what lies beside the page."""
    best = run.get("best") or {}
    files = []
    for path in [output / "best", *sorted((output / "best").glob("*/")), output]:
        weights = path / "backbone.safetensors"
        files.append((weights, _model_words(path.relative_to(output), best)))
    files += [(path, "exported") for path in sorted(output.glob("*.onnx"))]
    files += [(output / name, words) for name, words in _FILES.items()]
    items = (_item(output, path, words) for path, words in files)
    return f'<h2>Models and files</h2>\n<ul class="list">{"".join(items)}</ul>\n'


def _item(output: Path, path: Path, words: str) -> str:
    """The line of a file, or "" if there is none, or none any longer."""
    try:
        about = path.stat()
    except OSError:
        return ""
    if not S_ISREG(about.st_mode):
        return ""
    name = os.fsencode(path.relative_to(output))
    return (
        f"<li>{link(quote(name), name.decode(errors='replace'))} "
        f"<small>{escape(words)}, {show_size(about.st_size)}</small></li>\n"
    )


def _model_words(folder: Path, best: Mapping[str, Any]) -> str:
    if folder == Path():
        return "the model of the last epoch's end"
    name = folder.name if folder.parent.name == "best" else next(iter(best), "")
    if name not in best:
        return "the best model"
    return f"best on {name}: {best[name]['accuracy']:.3%} at step {best[name]['step']:,}"


def _config(run: Mapping[str, Any]) -> str:
    parts = []
    if run.get("summary"):
        parts += ["<h2>What was trained</h2>\n", facts(run["summary"])]
    settings = run.get("config") or ()
    changed = [[key, value] for key, value, differs in settings if differs]
    if settings:
        parts += ["<h2>Config</h2>\n", table(["key", "value"], changed, "words")]
        everything = table(["key", "value"], [[key, value] for key, value, _ in settings], "words")
        parts.append(folded(f"All {len(settings)} keys, with those left as configs/base.py has them", everything))
    if run.get("versions"):
        parts += ["<h2>Versions</h2>\n", facts(run["versions"])]
    return "".join(parts)


def _date(text: str) -> str:
    """2026-01-31T12:00:00+01:00 -> 2026-01-31 12:00."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return text


def _seconds(sitting: Mapping[str, Any]) -> float:
    try:
        return (datetime.fromisoformat(sitting["end"]) - datetime.fromisoformat(sitting["start"])).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
