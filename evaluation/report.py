"""Results of evaluations as one page of HTML that needs nothing beside it."""

import base64
import re
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from pathlib import Path

from evaluation.pictures import folds_figure, histogram_figure, png, reject_figure, roc_figure
from evaluation.results import measures, read_result, title, variant
from utils.errors import UserError
from utils.files import write_whole

_LONGEST_STEM = 100  # characters of a picture's name
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Face recognition: evaluation</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1080px; margin: 2em auto; padding: 0 1em }
h2 { border-bottom: 1px solid #ddd; margin-top: 2.5em }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto }
th, td { padding: .25em .8em; border-bottom: 1px solid #e5e5e5; text-align: right; white-space: nowrap }
th:first-child { text-align: left }
thead th { border-bottom: 2px solid #bbb }
.pictures { display: flex; flex-wrap: wrap; gap: 1em }
.pictures img { width: 520px; max-width: 100%; height: auto; align-self: flex-start }
.strips { display: flex; flex-wrap: wrap; gap: .8em }
figure { margin: 0; width: 224px }
figcaption { font-size: 12px; overflow-wrap: anywhere; color: #555 }
.note { color: #555 }
</style>
</head>
<body>
<h1>Face recognition: evaluation</h1>
"""
_TERMS = """<p class="note">TAR@FAR=f: the share of same pairs accepted (true accept rate) at the lowest threshold that
accepts at most the share f of the different pairs (false accept rate). EER: the error rate where both kinds of error
are equally frequent. AUC: area under the ROC curve. XNorm: mean length of an embedding. Accuracy: mean ± standard
deviation over the folds, each at the threshold best on the others; thresholds are squared distances d of unit vectors,
and their cosine is 1 - d/2. Error versus reject: the share of same pairs refused (false non-match rate, FNMR) at the
lowest threshold that accepts at most the share FMR of the different pairs (false match rate), on the pairs that are
left; the quality of a pair is the smaller magnitude of its two embeddings.</p>
"""


def write_report(paths: Sequence[Path], folder: Path) -> Path:
    """Writes `report.html` and its pictures as PNGs into the folder, from results of models on sets; the page's path.

    Models evaluated on one set are compared, and so are several ways of evaluating one model.

    Raises UserError where a file is no result, a strip of images is missing, or two results are of the same model on
    the same set, or of different sets that have one name.
    """
    sets = defaultdict(list)
    for path in paths:
        result = _with_strips(read_result(path), path)
        others = sets[result["kind"], result["name"]]
        _refuse_clash(result, others, path)
        others.append(result)
    parts, pictures = [_HEAD], {}
    for number, results in enumerate(map(_told_apart, sets.values()), 1):
        stem = f"{number}-{re.sub('[^A-Za-z0-9._-]+', '-', title(results[0]))[:_LONGEST_STEM]}"
        parts += _section(results, pictures, stem)
    page = folder / "report.html"
    _write_all({**pictures, page.name: "".join([*parts, _TERMS, "</body>\n</html>\n"]).encode()}, folder)
    return page


def _write_all(files: dict[str, bytes], folder: Path) -> None:
    """Writes the files, the page last; where the disk is full none that was not there before stays."""
    new = [folder / name for name in files if not (folder / name).exists()]
    try:
        for name, content in files.items():
            write_whole(folder / name, content)
    except UserError:
        for path in new:
            path.unlink(missing_ok=True)
        raise


def _refuse_clash(result: dict, others: Sequence[dict], path: Path) -> None:
    for other in others:
        if (other["model"], variant(other)) == (result["model"], variant(result)):
            raise UserError(f"{path} is a second result of {result['model']} on {title(result)}; leave one out")
        counts, other_counts = (f"{each['pairs']} pairs, {each['same']} same" for each in (result, other))
        if counts != other_counts:
            raise UserError(
                f"{path} is of {counts}, and another result on {result['name']} of {other_counts}: "
                "they are of different sets; make two reports, or give the sets different names"
            )


def _told_apart(results: list[dict]) -> list[dict]:
    """Where one set was evaluated in several ways, they become part of what the models are called."""
    if len({variant(result) for result in results}) == 1:
        return results
    named = [", ".join(filter(None, [result["model"], variant(result)])) for result in results]
    return [result | {"model": name, "variant": ""} for result, name in zip(results, named, strict=True)]


def _section(results: list[dict], files: dict[str, bytes], stem: str) -> list[str]:
    """The page's part on one set; its pictures are added to `files`, by their names."""
    pictures = {"roc": roc_figure(results)}
    if results[0]["kind"] == "verification":
        pictures["folds"] = folds_figure(results)
    if any("error_versus_reject" in result for result in results):
        pictures["error-versus-reject"] = reject_figure(results)
    for number, result in enumerate(results, 1):
        pictures[f"scores-{number}"] = histogram_figure(result)

    first = results[0]
    parts = [f"<h2>{escape(title(first))}</h2>\n"]
    parts.append(f"<p>{first['pairs']:,} pairs, {first['same']:,} of them of one person.</p>\n")
    models = [result["model"] for result in results]
    columns = [measures(result) for result in results]
    names = dict.fromkeys(name for column in columns for name in column)
    parts.append(_table(["", *models], [[name, *(column.get(name, "") for column in columns)] for name in names]))
    parts.append('<div class="pictures">\n')
    for kind, figure in pictures.items():
        content = png(figure)
        files[f"{stem}-{kind}.png"] = content
        parts.append(_image(content, f"{title(first)}: {kind}"))
    parts.append("</div>\n")
    if first["kind"] == "verification":
        parts += ["<details><summary>Every fold: accuracy (threshold)</summary>\n", _folds(results), "</details>\n"]
    if "error-versus-reject" in pictures:
        heading = "Error versus reject: FNMR by the share of pairs dropped"
        parts += [f"<details><summary>{heading}</summary>\n", _rejects(results), "</details>\n"]
    for result in results:
        parts += _hardest(result)
    return parts


def _folds(results: list[dict]) -> str:
    count = max(len(result["folds"]) for result in results)
    rows = []
    for number in range(count):
        folds = [result["folds"][number] if number < len(result["folds"]) else None for result in results]
        cells = [f"{fold['accuracy']:.2%} ({fold['threshold']:.2f})" if fold else "" for fold in folds]
        rows.append([f"fold {number + 1}", *cells])
    return _table(["", *(result["model"] for result in results)], rows)


def _rejects(results: list[dict]) -> str:
    curves = [result["error_versus_reject"] for result in results if "error_versus_reject" in result]
    models = [
        f"{result['model']}, FMR {result['error_versus_reject']['fmr']:g}"
        for result in results
        if "error_versus_reject" in result
    ]
    found = [dict(zip(curve["dropped"], curve["fnmr"], strict=True)) for curve in curves]
    shares = sorted({share for curve in found for share in curve})
    cells = [[curve.get(share) for curve in found] for share in shares]
    rows = [["n/a" if fnmr is None else f"{fnmr:.2%}" for fnmr in row] for row in cells]
    return _table(["dropped", *models], [[f"{share:.0%}", *row] for share, row in zip(shares, rows, strict=True)])


def _hardest(result: dict) -> list[str]:
    parts = []
    for same, words in ((True, "of one person, least alike"), (False, "of two people, most alike")):
        pairs = [pair for pair in result.get("hardest", ()) if pair["same"] == same]
        if pairs:
            parts.append(f'<h3>{escape(result["model"])}: pairs {words}</h3>\n<div class="strips">\n')
        for pair in pairs:
            names = " | ".join(pair["images"])
            caption = f"<b>{pair['score']:.3f}</b> {escape(names)}"
            parts.append(f"<figure>{_image(pair['content'], names)}<figcaption>{caption}</figcaption></figure>\n")
        parts += ["</div>\n"] * bool(pairs)
    return parts


def _with_strips(result: dict, path: Path) -> dict:
    """The result, the content of each strip read beside it."""
    for pair in result.get("hardest", ()):
        strip = path.parent / pair["strip"]
        try:
            pair["content"] = strip.read_bytes()
        except OSError as error:
            raise UserError(f"{strip}, a picture that {path} names, cannot be read: {error.strerror}") from None
        if not pair["content"].startswith(b"\x89PNG"):
            raise UserError(f"{strip}, a picture that {path} names, is no PNG")
    return result


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<table>\n<thead><tr>", *(f"<th>{escape(cell)}</th>" for cell in head), "</tr></thead>\n"]
    for name, *cells in rows:
        lines += [f"<tr><th>{escape(name)}</th>", *(f"<td>{escape(cell)}</td>" for cell in cells), "</tr>\n"]
    return "".join([*lines, "</table>\n"])


def _image(content: bytes, words: str) -> str:
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{base64.b64encode(content).decode()}">\n'
