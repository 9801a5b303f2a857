"""The page of a run: it shows what was logged, goes on at a resume, and its failures end nothing."""

import json
import logging
import os
import re

import cv2
import numpy as np
import pytest

from pages.charts import short
from tests.pages.html import Page, loads_nothing
from tracking import learning_curve
from tracking.facts import FACTS, read_facts
from tracking.page import PAGE, PICTURE, RunPage
from tracking.records import Records
from utils.errors import UserError

LOGGER = logging.getLogger("page")
NASTY = "<script>alert(1)</script>"
FACTS_OF_RUN = {
    "total_steps": 40,
    "global_batch": 8,
    "summary": {"network": "mbf_tiny", "data": NASTY},
    "phases": [
        {"first": 0, "stop": 20, "facts": {"loss": "arcface", "frozen": ""}},
        {"first": 20, "stop": 40, "facts": {"loss": "arcface + 32 * triplet", "frozen": ""}},
    ],
    "config": [["lr", "0.1", False], ["network", "'mbf_tiny'", True]],
    "versions": {"oneflow": "0.9.0"},
}


def figures(step):
    return {"train/loss": 10 / step, "train/loss/arcface": 9 / step, "train/learning_rate": 0.1, "train/accuracy": 0.5,
            "train/samples_per_second": 100.0 + step}  # fmt: skip


def run(output, first, steps, state="complete", reason=""):
    records = Records(output, first, [RunPage(output, first)], LOGGER)
    records.describe(FACTS_OF_RUN)
    rng = np.random.default_rng(first)
    records.pictures(f"phase-{1 + (first >= 20)}", first + 1, rng.integers(0, 256, (3, 12, 8, 3), np.uint8))
    for step in steps:
        records.add(step, figures(step))
        if step % 10 == 0:
            records.add(step, {"verification/lfw/accuracy": 0.9 + step / 1000, "verification/lfw/tar_at_far_1e-3": 0.5})
            records.describe({"best": {"lfw": {"accuracy": 0.9 + step / 1000, "step": step}}})
    records.close(state, reason)
    return Page((output / PAGE).read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "my run"
    output.mkdir()
    (output / "best").mkdir()
    (output / "best/backbone.safetensors").write_bytes(bytes(2000))
    (output / "training.log").write_text("...")
    return output, run(output, 0, range(2, 42, 2))


def test_curves_are_what_was_logged(finished):
    output, page = finished
    records = [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]
    drawn = {}
    for key in page.charts:
        for name, (steps, values) in page.curves(key).items():
            drawn[key, name] = list(zip(steps, values, strict=True))
    for place, name in {
        ("loss", "all together"): "train/loss",
        ("loss", "arcface"): "train/loss/arcface",
        ("rate", "learning rate"): "train/learning_rate",
        ("speed", "images per second"): "train/samples_per_second",
        ("accuracy", "accuracy"): "train/accuracy",
        ("verification", "lfw"): "verification/lfw/accuracy",
        ("tar", "lfw"): "verification/lfw/tar_at_far_1e-3",
    }.items():
        assert drawn.pop(place) == [(each["step"], short(each[name])) for each in records if name in each]
    assert not drawn
    assert all(chart["marks"] == [[0, "phase 1"], [20, "phase 2"]] for chart in page.charts.values())


def test_it_needs_nothing_beside_it_and_links_to_what_is_there(finished):
    output, page = finished
    assert loads_nothing(page)
    links = [each["href"] for each in page.attributes("a")]
    assert links == ["best/backbone.safetensors", "training.log", "history.jsonl", "run.json", PICTURE]
    assert all((output / link).is_file() for link in links)
    assert "best on lfw: 94.000% at step 40, 2.0 kB" in page.text


def test_it_says_what_was_trained(finished):
    _, page = finished
    assert dict(page.attributes("body")[0]) == {"data-state": "complete"}
    for words in ("my run", "40", "of 40, 100%", "94.00%", NASTY, "arcface + 32 * triplet", "oneflow", "0.9.0"):
        assert words in page.text
    rows = [row for row in page.cells if row]
    assert ["network", "'mbf_tiny'"] in rows and rows.count(["lr", "0.1"]) == 1  # among all keys alone
    assert ["lfw", "94.000%", "50.00%", "40", "94.000%", "40"] in rows
    assert "frozen" not in page.text  # an empty column


def test_samples_are_side_by_side_in_their_colors(finished, tmp_path):
    _, page = finished
    tiles = [each["style"] for each in page.attributes("i") if each.get("role") == "img"]
    assert [re.search(r"position: (-?\d+)px", style)[1] for style in tiles] == ["-0", "-8", "-16"]
    assert all("width: 8px; height: 12px" in style for style in tiles)
    images = np.full((2, 12, 8, 3), [200, 30, 60], np.uint8)
    images[1] = [10, 220, 90]
    records = Records(tmp_path, 0, [RunPage(tmp_path, 0)], LOGGER)
    records.pictures("phase-1", 1, images)
    records.close("stopped")
    sheet = cv2.imread(str(tmp_path / "samples/phase-1.jpg"), cv2.IMREAD_COLOR_RGB)
    assert np.abs(sheet.astype(int) - np.hstack(images)).max() < 8


def test_a_resumed_run_goes_on_with_points_pictures_and_times(tmp_path):
    undisturbed = tmp_path / "a"
    undisturbed.mkdir()
    whole = run(undisturbed, 0, range(2, 42, 2))
    output = tmp_path / "b"
    output.mkdir()
    stopped = run(output, 0, range(2, 32, 2), "stopped")
    assert stopped.attributes("body")[0] == {"data-state": "stopped"}
    resumed = run(output, 20, range(22, 42, 2))
    for key in whole.charts:
        assert resumed.curves(key) == whole.curves(key)
    assert "resumed 1 time," in resumed.text and "Phase 1" in resumed.text and "Phase 2" in resumed.text
    assert [sitting["step"] for sitting in read_facts(output)["sittings"]] == [0, 20]
    again = run(output, 0, range(2, 6, 2))
    assert (
        "resumed" not in again.text
        and "Phase 2" not in again.text
        and len(again.curves("rate")["learning rate"][0]) == 2
    )


def test_damaged_facts_of_before_cost_them_alone(tmp_path):
    run(tmp_path, 0, range(2, 22, 2), "stopped")
    (tmp_path / FACTS).write_text("{")
    page = run(tmp_path, 20, range(22, 42, 2))
    assert page.curves("rate")["learning rate"][0] == list(range(2, 42, 2))


def test_odd_files_and_names_beside_the_page_cost_nothing(tmp_path):
    output = tmp_path / os.fsdecode(b"r\xe9sum")
    output.mkdir()
    (output / os.fsdecode(b"m\xe9.onnx")).write_bytes(b"x")
    (output / "gone.onnx").symlink_to("/nonexistent")
    (output / "folder.onnx").mkdir()
    page = run(output, 0, [2])
    assert page.attributes("a")[0]["href"] == "m%E9.onnx" and "m\ufffd.onnx" in page.text
    assert "r\ufffdsum" in page.text and read_facts(output)["name"] == "r\ufffdsum"
    assert "gone.onnx" not in page.text and "folder.onnx" not in page.text


def test_a_picture_that_fails_costs_no_page(tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise ValueError("no font")

    monkeypatch.setattr(learning_curve, "learning_curve", fail)
    page = run(tmp_path, 0, [2])
    assert page.attributes("body")[0] == {"data-state": "complete"} and not (tmp_path / PICTURE).exists()
    assert caplog.messages == ["the run's page could not be written: no font. The run goes on."]


def test_a_failed_run_says_why(tmp_path):
    page = run(tmp_path, 0, [2], "failed", "the loss is <nan>")
    assert page.attributes("body")[0] == {"data-state": "failed"} and "the loss is <nan>" in page.text


def test_a_page_that_cannot_be_written_is_one_warning(tmp_path, caplog):
    (tmp_path / PAGE).mkdir()  # in its place
    records = Records(tmp_path, 0, [RunPage(tmp_path, 0)], LOGGER)
    with caplog.at_level(logging.WARNING, "page"):
        records.add(1, {"train/loss": 1.0})
        records.close("complete")
    assert len(caplog.messages) == 1 and "report.html cannot be written" in caplog.messages[0]
    assert (tmp_path / "history.jsonl").read_text().count("\n") == 1


def test_a_long_run_has_a_small_page(tmp_path):
    page = RunPage(tmp_path, 0)
    page.open()
    for step in range(1, 50_001):
        page.add(10 * step, figures(step))
    page.close("complete", "", None)
    assert (tmp_path / PAGE).stat().st_size < 800_000
    assert "A point is the mean of 32 log lines" in (tmp_path / PAGE).read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"state": "sleeping"}, {"step": -1}, {"phases": [{"first": 0}]}, {"config": [["lr", 0.1, True]]},
        {"best": {"lfw": 1}}, {"samples": {"phase-1": {"count": 10**9, "height": 1, "width": 1}}}, {"sittings": [3]},
    ],
)  # fmt: skip
def test_facts_that_are_none_are_named(finished, tmp_path, change):
    output, _ = finished
    (tmp_path / FACTS).write_text(json.dumps(json.loads((output / FACTS).read_text()) | change))
    with pytest.raises(UserError, match=f"its {next(iter(change))} is not what it can be"):
        read_facts(tmp_path)


@pytest.mark.parametrize("facts", [[1], "x", None, {"loss": 1}])
def test_facts_of_a_phase_of_another_type_are_one_sentence(tmp_path, facts):
    run = {"name": "r", "state": "complete", "phases": [{"first": 0, "stop": 1, "facts": facts}]}
    (tmp_path / FACTS).write_text(json.dumps(run))
    with pytest.raises(UserError, match="is not of a run: its phases is not what it can be"):
        read_facts(tmp_path)
