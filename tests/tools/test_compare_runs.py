"""tools/compare_runs.py as a user calls it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages.html import Page, loads_nothing
from tools.compare_runs import main
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def make_run(folder, lr, steps, batch=8, sets=("lfw",), old=False):
    folder.mkdir(parents=True)
    lines = []
    for step in range(1, steps + 1):
        lines.append({"step": step, "train/loss": lr / step, "train/samples_per_second": 10.0 * step})
    for name in sets:
        lines.append({"step": steps, f"verification/{name}/accuracy": 0.9, f"verification/{name}/tar_at_far_1e-3": 0.5})
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if not old:
        config = [["lr", repr(lr), True], ["network", "'r50'", False], ["output", repr(str(folder)), True]]
        facts = {"name": folder.name, "state": "complete", "global_batch": batch, "config": config}
        (folder / "run.json").write_text(json.dumps(facts | {"best": {"lfw": {"accuracy": 0.95, "step": 2}}}))
    return folder


def compare(*arguments):
    main(list(map(str, arguments)))
    return Page(Path(arguments[-1]).read_text())


def refusal(*arguments):
    with pytest.raises(UserError) as refused:
        main(list(map(str, arguments)))
    return str(refused.value)


def test_curves_of_all_runs_over_each_other(tmp_path):
    first, second = make_run(tmp_path / "a", 0.1, 4), make_run(tmp_path / "b", 0.2, 3, sets=("lfw", "cfp_fp"), old=True)
    page = compare(first, second, "--out", tmp_path / "page/compared.html")
    assert loads_nothing(page)
    assert len(page.charts) == 6
    assert page.curves("c0")["a"] == ([1, 2, 3, 4], [0.1, 0.05, 0.0333333, 0.025])
    assert page.curves("c0")["b"] == ([1, 2, 3], [0.2, 0.1, 0.0666667])
    assert page.curves("c6") == {"b": ([3], [0.9])}
    assert ["a", "complete", "4", "0.025", "95.000% (step 2)", "", "30"] in page.cells
    assert ["b", "", "3", "0.06667", "90.000% (step 3)", "90.000% (step 3)", "20"] in page.cells


def test_what_configs_differ_in(tmp_path):
    first, second = make_run(tmp_path / "x/a", 0.1, 4), make_run(tmp_path / "y/a", 0.2, 3)
    page = compare(first, second, "--out", tmp_path / "compared.html")
    names = [str(first), str(second)]
    assert ["key", *names] in page.cells and ["lr", "0.1", "0.2"] in page.cells
    assert not [row for row in page.cells if row[0] in ("network", "output")]
    same = compare(first, make_run(tmp_path / "c", 0.1, 2), "--out", tmp_path / "compared.html")
    assert "The configs are the same." in same.text


def test_over_images(tmp_path):
    first, second = make_run(tmp_path / "a", 0.1, 2, batch=8), make_run(tmp_path / "b", 0.1, 2, batch=32)
    page = compare("--by", "images", first, second, "--out", tmp_path / "compared.html")
    assert [xs for xs, _ in page.curves("c0").values()] == [[8, 16], [32, 64]]
    old = make_run(tmp_path / "old", 0.1, 2, old=True)
    assert "old does not say how many images a step takes" in refusal("--by", "images", first, old)


def test_mistakes_are_sentences_and_nothing_is_written(tmp_path):
    run = make_run(tmp_path / "a", 0.1, 2)
    assert f"{tmp_path} is not the folder of a run: it has no history.jsonl" in refusal(tmp_path)
    assert "is given twice" in refusal(run, run)
    assert "comparison.html" in refusal(run, "--out", tmp_path / "page")
    (run / "run.json").write_text("[]")
    assert "run.json is not of a run" in refusal(run)
    assert not list(tmp_path.glob("*.html"))


def test_as_a_program(tmp_path):
    run = make_run(tmp_path / "a", 0.1, 2)
    command = [sys.executable, ROOT / "tools/compare_runs.py", run]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'comparison.html'}: 1 run(s)\n" and (tmp_path / "comparison.html").exists()
