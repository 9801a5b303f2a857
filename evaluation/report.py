"""Results of evaluations as one page of HTML that needs nothing beside it."""

import re
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from pathlib import Path

from evaluation.charts import result_charts
from evaluation.pictures import folds_figure, histogram_figure, reject_figure, roc_figure
from evaluation.results import measures, read_result, threshold_cosine, title, variant
from pages.charts import Chart
from pages.figure import png
from pages.html import facts, folded, image, link, table, tiles
from pages.page import page
from utils.errors import UserError
from utils.files import write_whole

_LONGEST_STEM = 100  # characters of a picture's name
_MOST_TILES = 8
_IJB_FAR = "1e-04"
_TERMS = {
    "TAR at FAR f": "the share of same pairs accepted (true accept rate) at the lowest threshold that accepts at most "
    "the share f of the different pairs (false accept rate)",
    "accuracy": "mean ± standard deviation over the folds, each at the threshold that is best on the others",
    "threshold": "the squared distance d of two unit vectors up to which they are taken for one person, or their "
    "cosine, 1 - d/2, from which on they are",
    "AUC": "area under the ROC curve",
    "EER": "the error rate where both kinds of error are equally frequent",
    "XNorm": "mean length of an embedding",
    "error versus reject": "the share of same pairs refused (false non-match rate, FNMR) at the lowest threshold that "
    "accepts at most the share FMR of the different pairs (false match rate), on the pairs that are left; the quality "
    "of a pair is the smaller magnitude of its two embeddings",
}


def write_report(paths: Sequence[Path], folder: Path) -> Path:
    """Writes `report.html` and its pictures as PNGs into the folder, from results of models on sets; the page's path.

    Models evaluated on one set are compared, and so are several ways of evaluating one model.

    Raises UserError where a file is no result, a strip of images is missing, or two results are of the same model on
    the same set, or of different sets that have one name.
    """
    sets: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for path in paths:
        result = _with_strips(read_result(path), path)
        others = sets[result["kind"], result["name"]]
        _refuse_clash(result, others, path)
        others.append(result)
    groups = list(map(_told_apart, sets.values()))
    parts = ["<h1>Face recognition: evaluation</h1>\n", _overview(groups)]
    pictures: dict[str, bytes] = {}
    charts: list[Chart] = []
    for number, results in enumerate(groups, 1):
        stem = f"{number}-{re.sub('[^A-Za-z0-9._-]+', '-', title(results[0]))[:_LONGEST_STEM]}"
        parts += _section(results, pictures, charts, number, stem)
    parts += ["<h2>Terms</h2>\n", facts(_TERMS)]
    path = folder / "report.html"
    _write_all({**pictures, path.name: page("Face recognition: evaluation", parts, charts)}, folder)
    return path


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


def _overview(groups: Sequence[Sequence[dict]]) -> str:
    """The figure of each set that people ask for first, of its best model."""
    shown = []
    for results in groups:
        if results[0]["kind"] == "verification":
            best = max(results, key=lambda result: result["accuracy"])
            shown.append((f"{title(best)}: accuracy", f"{best['accuracy']:.2%}", best["model"]))
        else:
            best = max(results, key=lambda result: result["tar_at_far"].get(_IJB_FAR) or 0)
            tar = best["tar_at_far"].get(_IJB_FAR)
            shown.append(
                (f"{title(best)}: TAR at FAR {_IJB_FAR}", "n/a" if tar is None else f"{tar:.2%}", best["model"])
            )
    return tiles(shown[:_MOST_TILES])


def _section(results: list[dict], files: dict[str, bytes], charts: list[Chart], number: int, stem: str) -> list[str]:
    """The page's part on one set; its curves are added to `charts` and, as pictures by their names, to `files`."""
    pictures = {"roc": roc_figure(results)}
    if results[0]["kind"] == "verification":
        pictures["folds"] = folds_figure(results)
    if any("error_versus_reject" in result for result in results):
        pictures["error-versus-reject"] = reject_figure(results)
    for place, result in enumerate(results, 1):
        pictures[f"scores-{place}"] = histogram_figure(result)
    names = {kind: f"{stem}-{kind}.png" for kind in pictures}
    files |= {names[kind]: png(figure) for kind, figure in pictures.items()}

    first = results[0]
    parts = [f"<h2>{escape(title(first))}</h2>\n"]
    parts.append(f"<p>{first['pairs']:,} pairs, {first['same']:,} of them of one person.</p>\n")
    models = [result["model"] for result in results]
    columns = [measures(result) for result in results]
    rows = dict.fromkeys(name for column in columns for name in column)
    parts.append(table(["", *models], [[name, *(column.get(name, "") for column in columns)] for name in rows]))
    parts.append(_about(results))
    own = result_charts(results, f"set-{number}")
    charts += own
    parts += ['<div class="charts">\n', *(chart.html() for chart in own), "</div>\n"]
    links = ", ".join(link(name, kind.replace("-", " ")) for kind, name in names.items())
    parts.append(f'<p class="note">As pictures, beside this page: {links}.</p>\n')
    if first["kind"] == "verification":
        parts.append(folded("Every fold: accuracy (distance threshold)", _folds(results)))
    if "error-versus-reject" in pictures:
        parts.append(folded("Error versus reject: FNMR by the share of pairs dropped", _rejects(results)))
    for result in results:
        parts += _hardest(result)
    return parts


def _about(results: Sequence[dict]) -> str:
    """When and on what each result was found; what all have in common once."""
    abouts = [result.get("about", {}) for result in results]
    names = dict.fromkeys(name for about in abouts for name in about)
    if len(results) == 1 or not names:
        return facts(abouts[0])
    rows = [[name, *(about.get(name, "") for about in abouts)] for name in names]
    return folded("Models and data", table(["", *(result["model"] for result in results)], rows, "words"))


def _folds(results: list[dict]) -> str:
    count = max(len(result["folds"]) for result in results)
    rows = []
    for number in range(count):
        folds = [result["folds"][number] if number < len(result["folds"]) else None for result in results]
        cells = [f"{fold['accuracy']:.2%} ({fold['threshold']:.2f})" if fold else "" for fold in folds]
        rows.append([f"fold {number + 1}", *cells])
    return table(["", *(result["model"] for result in results)], rows)


def _rejects(results: list[dict]) -> str:
    curves = [result["error_versus_reject"] for result in results if "error_versus_reject" in result]
    models = [
        f"{result['model']}, FMR {result['error_versus_reject']['fmr']:g}"
        for result in results
        if "error_versus_reject" in result
    ]
    rates = [dict(zip(curve["dropped"], curve["fnmr"], strict=True)) for curve in curves]
    shares = sorted({share for curve in rates for share in curve})
    cells = [[curve.get(share) for curve in rates] for share in shares]
    rows = [["n/a" if fnmr is None else f"{fnmr:.2%}" for fnmr in row] for row in cells]
    return table(["dropped", *models], [[f"{share:.0%}", *row] for share, row in zip(shares, rows, strict=True)])


def _hardest(result: dict) -> list[str]:
    parts = []
    threshold = threshold_cosine(result)
    for same, words in ((True, "of one person, least alike"), (False, "of two people, most alike")):
        pairs = [pair for pair in result.get("hardest", ()) if pair["same"] == same]
        if pairs:
            parts.append(f"<h3>{escape(result['model'])}: pairs {words}</h3>\n")
            if threshold is not None:
                parts.append(
                    f'<p class="note">Taken for one person: cosine at least {threshold:.3f}, which is a squared '
                    f"distance of at most {2 - 2 * threshold:.3f}.</p>\n"
                )
            parts += ['<div class="strips">\n', *(_strip(pair, threshold) for pair in pairs), "</div>\n"]
    return parts


def _strip(pair: dict, threshold: float | None) -> str:
    """Both images of a pair, how alike they are, and whether the threshold is wrong about them."""
    names = " | ".join(pair["images"])
    wrong = threshold is not None and (pair["score"] >= threshold) != pair["same"]
    judged = f' <span class="wrong">{"refused" if pair["same"] else "accepted"}</span>' if wrong else ""
    figures = f"<b>cosine {pair['score']:.3f}</b>, distance {2 - 2 * pair['score']:.3f}{judged}"
    return f"<figure>{image(pair['content'], names)}<figcaption>{figures}<br>{escape(names)}</figcaption></figure>\n"


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
