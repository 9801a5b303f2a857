"""tools/report.py as a user calls it: one page that needs nothing else, and sentences for what is no result."""

import base64
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from evaluation.bin_set import write_bin
from evaluation.curves import roc
from evaluation.pairs import read_bin
from evaluation.results import curve_facts, write_result
from evaluation.verify_pairs import verify_pairs
from tests.data.mxnet_sets import jpegs
from tools.report import main
from utils.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Glyph")  # matplotlib's own font has no Chinese; the page does
ROOT = Path(__file__).resolve().parents[2]
NASTY = '<script>alert("x")</script> & $a$ 模型'


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


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
    tags = [tag for tag, _ in page.elements]
    assert "script" not in tags and "link" not in tags and "http" not in text.replace("http-equiv", "")
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
    assert len(strips) == 2 * (12 + 10) and sorted(embedded) == sorted([*pictures.values(), *strips])


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
