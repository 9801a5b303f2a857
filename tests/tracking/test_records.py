"""The history of a run: what is written, and what stays of it at a resume."""

import json
import logging

import pytest

from engine.records import HISTORY, Records

LOGGER = logging.getLogger("records")


def history(output):
    return [json.loads(line) for line in (output / HISTORY).read_text().splitlines()]


def write(output, start, steps, tensorboard=False):
    records = Records(output, start, tensorboard, LOGGER)
    for step in steps:
        records.add(step, {"train/loss": step / 2})
    records.close()


def test_a_resumed_run_leaves_the_history_of_an_undisturbed_one(tmp_path):
    write(tmp_path, 0, range(1, 9))
    undisturbed = history(tmp_path)
    write(tmp_path, 5, range(6, 9))
    assert history(tmp_path) == undisturbed == [{"step": step, "train/loss": step / 2} for step in range(1, 9)]


def test_a_run_from_the_beginning_forgets_and_a_torn_line_goes(tmp_path):
    write(tmp_path, 0, [1, 2])
    with (tmp_path / HISTORY).open("a") as file:
        file.write('{"step": 2, "trai')
    write(tmp_path, 2, [3])
    assert [record["step"] for record in history(tmp_path)] == [1, 2, 3]
    write(tmp_path, 0, [1])
    assert [record["step"] for record in history(tmp_path)] == [1]


def test_tensorboard_gets_the_same(tmp_path):
    write(tmp_path, 0, [1, 2], tensorboard=True)
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_full_disk_costs_figures_and_one_warning(tmp_path, caplog):
    records = Records(tmp_path, 0, False, LOGGER)

    class Full:
        def write(self, content):
            raise OSError(28, "No space left on device")

    records._file.close()
    records._file = Full()
    with caplog.at_level(logging.WARNING, "records"):
        records.add(1, {"train/loss": 1.0})
        records.add(2, {"train/loss": 1.0})
    assert len(caplog.messages) == 1 and "No space left" in caplog.messages[0]


@pytest.mark.parametrize("value", [float("nan"), 1e-30])
def test_numbers_come_back(tmp_path, value):
    records = Records(tmp_path, 0, False, LOGGER)
    records.add(1, {"train/loss": value})
    records.close()
    (record,) = history(tmp_path)
    assert record["train/loss"] == pytest.approx(value, nan_ok=True)
