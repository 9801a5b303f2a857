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


def report(*arguments, status=0):
    command = [sys.executable, "tools/report.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stderr[-3000:]
    return done.stderr.strip().splitlines()[-1] if status else done.stdout


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
    assert f"{tmp_path}/report.html" in report(*results, "--out", tmp_path)
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
        "1-lfw-folds.png", "1-lfw-roc.png", "1-lfw-scores-1.png", "1-lfw-scores-2.png",
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
    said = report(path, "--out", tmp_path / "page", status=2)
    assert said.startswith("error: ") and sentence in said and str(path) in said
    assert not (tmp_path / "page").exists()


def test_one_model_twice_is_refused(results, tmp_path):
    said = report(results[1], results[1], "--out", tmp_path / "page", status=2)
    assert "a second result of other on lfw" in said and not (tmp_path / "page").exists()
