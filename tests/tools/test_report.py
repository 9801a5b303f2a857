"""tools/report.py as a user calls it: one page that needs nothing else, and sentences for what is no result."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluation.bin_set import write_bin
from evaluation.curves import roc
from evaluation.pairs import read_bin
from evaluation.results import curve_facts, write_result
from evaluation.verify_pairs import verify_pairs
from tests.data.mxnet_sets import jpegs
from tests.pages.html import Page, loads_nothing
from tools.report import main
from utils.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Glyph")  # matplotlib's own font has no Chinese; the page does
ROOT = Path(__file__).resolve().parents[2]
NASTY = '<script>alert("x")</script> & $a$ 模型'


def report(*arguments):
    main(list(map(str, arguments)))


def refusal(*arguments):
    with pytest.raises(UserError) as refused:
        report(*arguments)
    return str(refused.value)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of two models on one verification set, and of one on IJB-C."""
    folder = tmp_path_factory.mktemp("results")
    write_bin(folder / "lfw.bin", jpegs(60), [True, False, True] * 10)
    rng = np.random.default_rng(0)
    for model in (NASTY, "other"):
        rows = rng.normal(size=(60, 2, 6)).astype(np.float32)
        verify_pairs("lfw", read_bin(folder / "lfw.bin"), rows, model, out=folder / model.partition("<")[0] / "r")
    curve = curve_facts(roc(rng.uniform(-1, 1, 3000), rng.random(3000) < 0.3))
    identification = {"TPIR@FPIR=1e-01": 0.875, "rank-1": None}
    ijb = {
        "kind": "ijb",
        "name": "IJBC",
        "model": NASTY,
        "setting": "N1D1F2",
        "identification": identification,
        **curve,
    }
    return [folder / "r/lfw.json", folder / "other/r/lfw.json", write_result(ijb, folder, "ijbc")]


def test_one_page_that_compares_models_and_needs_nothing_else(results, tmp_path):
    report(*results, "--out", tmp_path)
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert loads_nothing(page) and "alert" not in "".join(code for kind, code in page.scripts if kind == "")
    assert NASTY in page.text and "87.50%" in page.text and "n/a (needs 1,000,000 different pairs)" in page.text
    assert [words for words in ("lfw", "IJBC N1D1F2") if f"<h2>{words}</h2>" in text] == ["lfw", "IJBC N1D1F2"]

    sources = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    embedded = [base64.b64decode(re.fullmatch("data:image/png;base64,(.*)", source)[1]) for source in sources]
    pictures = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert sorted(pictures) == [
        "1-lfw-error-versus-reject.png", "1-lfw-folds.png", "1-lfw-roc.png",
        "1-lfw-scores-1.png", "1-lfw-scores-2.png",
        "2-IJBC-N1D1F2-roc.png", "2-IJBC-N1D1F2-scores-1.png",
    ]  # fmt: skip
    strips = [path.read_bytes() for result in results for path in sorted(result.parent.glob("lfw-hardest/*.png"))]
    assert len(strips) == 2 * (12 + 10) and sorted(embedded) == sorted(strips)
    links = [attributes["href"] for attributes in page.attributes("a")]
    assert sorted(links) == sorted(pictures)


def test_curves_are_those_of_the_results(results, tmp_path):
    report(*results, "--out", tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    lfw, other, ijb = (json.loads(path.read_text()) for path in results)
    assert list(page.charts) == [
        "set-1-roc", "set-1-folds", "set-1-scores-1", "set-1-scores-2", "set-2-roc", "set-2-scores-1"
    ]  # fmt: skip
    assert page.text.count("30 pairs, 20 of them of one person.") == 1
    for shift, result in ((-0.06, lfw), (0.06, other)):
        far, tar = page.curves("set-1-roc")[result["model"]]
        at = {round(each, 6): share for each, share in zip(result["roc"]["far"], result["roc"]["tar"], strict=True)}
        assert far[0] == 0.1 and far[-1] == 1 and sorted(tar) == tar
        assert all(share == pytest.approx(at[each], abs=1e-5) for each, share in zip(far[1:], tar[1:], strict=True))
        folds = page.curves("set-1-folds")
        assert folds[result["model"]][0] == pytest.approx([fold + shift for fold in range(1, 11)])
        assert folds[result["model"]][1] == pytest.approx([fold["accuracy"] for fold in result["folds"]], abs=1e-5)
        assert folds[f"{result['model']}, mean"][1] == pytest.approx([result["accuracy"]] * 2, abs=1e-5)
    for name, counts in (("same", ijb["histogram"]["same"]), ("different", ijb["histogram"]["different"])):
        edges, shares = page.curves("set-2-scores-1")[f"{sum(counts):,} {name} pairs"]
        assert sum(shares[:-1]) == pytest.approx(1, abs=1e-3) and len(edges) == len(shares)
    assert not page.charts["set-2-scores-1"]["marks"]
    assert page.charts["set-1-scores-1"]["marks"][0][0] == pytest.approx(lfw["cosine"], abs=1e-5)


def test_hardest_pairs_have_both_measures_and_both_thresholds(results, tmp_path):
    report(results[1], "--out", tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    result = json.loads(results[1].read_text())
    distance = result["threshold"]
    words = f"cosine at least {1 - distance / 2:.3f}, which is a squared distance of at most {distance:.3f}"
    assert page.text.count(words) == 2
    for pair in result["hardest"]:
        wrong = (pair["score"] >= result["cosine"]) != pair["same"]
        judged = (" refused" if pair["same"] else " accepted") if wrong else ""
        assert f"cosine {pair['score']:.3f}, distance {2 - 2 * pair['score']:.3f}{judged}" in page.text
    assert ["distance threshold", f"{distance:.3f} (squared)"] in page.cells
    assert ["cosine threshold", f"{1 - distance / 2:.3f}"] in page.cells


def test_what_a_result_is_of(results, tmp_path):
    about = {"date": "2026-01-31 12:00", "data": NASTY, "embeddings": "512 numbers"}
    result = json.loads(results[2].read_text()) | {"about": about}
    report(write_result(result, tmp_path, "one"), "--out", tmp_path / "page")
    page = Page((tmp_path / "page/report.html").read_text())
    assert all(words in page.text for pair in about.items() for words in pair)
    said = refusal(write_result(result | {"about": {"date": 3}}, tmp_path, "bad"))
    assert "bad.json is not a result as an evaluation writes it" in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda result: result | {"kind": "training"}, "is not a result of an evaluation"),
        (lambda result: result | {"hardest": [result["hardest"][0] | {"strip": "gone.png"}]}, "gone.png, a picture"),
        (lambda result: result | {"hardest": [result["hardest"][0] | {"strip": "bad.json"}]}, "is no PNG"),
    ],
)
def test_what_is_no_result_is_named(results, tmp_path, change, sentence):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(change(json.loads(results[0].read_text()))))
    said = refusal(path, "--out", tmp_path / "page")
    assert sentence in said and str(path) in said
    assert not (tmp_path / "page").exists()


def test_ways_of_evaluating_one_model_are_compared(results, tmp_path):
    other = json.loads(results[2].read_text()) | {"setting": "N0D0F0"}
    report(results[2], write_result(other, tmp_path, "other"), "--out", tmp_path)
    text = Page((tmp_path / "report.html").read_text()).text
    assert f"{NASTY}, N1D1F2" in text and f"{NASTY}, N0D0F0" in text and "IJBC N" not in text
    assert (tmp_path / "1-IJBC-roc.png").exists() and not list(tmp_path.glob("2-*"))


def test_different_sets_of_one_name_are_refused(results, tmp_path):
    other = json.loads(results[1].read_text()) | {"model": "third", "pairs": 31}
    said = refusal(results[1], write_result(other | {"hardest": []}, tmp_path, "other"))
    assert "other.json is of 31 pairs, 20 same, and another result on lfw of 30 pairs, 20 same" in said


def test_one_model_twice_is_refused(results, tmp_path):
    said = refusal(results[1], results[1], "--out", tmp_path / "page")
    assert "a second result of other on lfw" in said and not (tmp_path / "page").exists()


def test_as_a_program(results, tmp_path):
    command = [sys.executable, ROOT / "tools/report.py", results[2], "--out", "page"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("page/report.html") and (tmp_path / "page/report.html").exists()
    done = subprocess.run([*command, "none.json"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: none.json cannot be read: No such file or directory\n")
