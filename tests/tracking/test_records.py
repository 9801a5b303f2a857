"""The figures of a run: what is written, what stays of it at a resume, and what becomes of writers that fail."""

import json
import logging
import threading
import time

import pytest

from tracking import background as background_module
from tracking.background import Background
from tracking.history import HISTORY, read_history
from tracking.records import Records
from tracking.tensorboard import TensorBoard
from tracking.writer import Writer
from utils.errors import UserError

LOGGER = logging.getLogger("records")


def history(output):
    return [json.loads(line) for line in (output / HISTORY).read_text().splitlines()]


def write(output, start, steps, *writers):
    records = Records(output, start, writers, LOGGER)
    for step in steps:
        records.add(step, {"train/loss": step / 2})
    records.close("complete")


class Noted(Writer):
    """Writes down what it is called with."""

    name = "the notes"

    def __init__(self, fails=()):
        self.calls, self.fails = [], fails

    def note(self, *call):
        self.calls.append(call)
        if call[0] in self.fails:
            raise ValueError(f"no {call[0]}\nand a page of more")

    def open(self):
        self.note("open")

    def add(self, step, values):
        self.note("add", step, values)

    def describe(self, facts):
        self.note("describe", facts)

    def close(self, state, reason, model):
        self.note("close", state, reason, model)


def test_a_resumed_run_leaves_the_history_of_an_undisturbed_one(tmp_path):
    write(tmp_path, 0, range(1, 9))
    undisturbed = history(tmp_path)
    write(tmp_path, 5, range(6, 9))
    assert history(tmp_path) == undisturbed == [{"step": step, "train/loss": step / 2} for step in range(1, 9)]


def test_a_run_from_the_beginning_forgets_and_a_torn_line_goes(tmp_path):
    write(tmp_path, 0, [1, 2])
    with (tmp_path / HISTORY).open("a") as file:
        file.write('{"step": 2, "trai')
    assert [step for step, _ in read_history(tmp_path / HISTORY)] == [1, 2]
    write(tmp_path, 2, [3])
    assert [record["step"] for record in history(tmp_path)] == [1, 2, 3]
    write(tmp_path, 0, [1])
    assert [record["step"] for record in history(tmp_path)] == [1]


@pytest.mark.parametrize("step", ["9" * 400, '"x"', "[1]", "null", "1e999"])
def test_a_line_whose_step_is_none_goes_at_a_resume(tmp_path, step):
    write(tmp_path, 0, [1, 2])
    with (tmp_path / HISTORY).open("a") as file:
        file.write(f'{{"step": {step}, "train/loss": 1}}\n')
    write(tmp_path, 2, [3])
    assert [record["step"] for record in history(tmp_path)] == [1, 2, 3]


def test_a_line_of_something_else_is_named(tmp_path):
    (tmp_path / HISTORY).write_text('{"step": 1}\nhello\n{"step": 2}\n')
    with pytest.raises(UserError, match="line 2 is not of a run's history"):
        list(read_history(tmp_path / HISTORY))


def test_tensorboard_gets_the_same(tmp_path):
    write(tmp_path, 0, [1, 2], TensorBoard(tmp_path, 0))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 0.5), (2, 1.0)]


def test_tensorboard_keeps_the_step_that_is_resumed_and_forgets_those_after_it(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path, 0, range(1, 6), TensorBoard(tmp_path, 0))
    (events,) = (tmp_path / "tensorboard").iterdir()
    events.rename(events.with_name("events.out.tfevents.1.before"))  # files are named by the second
    write(tmp_path, 3, [4, 6], TensorBoard(tmp_path, 3))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 6]


def test_every_writer_gets_all_in_order_from_one_thread(tmp_path):
    first, second = Noted(), Noted()
    records = Records(tmp_path, 0, [first, second], LOGGER)
    records.describe({"name": "run"})
    records.add(1, {"train/loss": 1.0})
    records.close("stopped", model=tmp_path)
    records.close("complete")
    wanted = ["open", "describe", "add", "close"]
    assert [call[0] for call in first.calls] == wanted and first.calls == second.calls
    assert first.calls[-1] == ("close", "stopped", "", tmp_path)


@pytest.mark.parametrize("fails", ["open", "add"])
def test_a_writer_that_fails_costs_one_warning_and_no_other_writer(tmp_path, caplog, fails):
    bad, good = Noted([fails]), Noted()
    with caplog.at_level(logging.WARNING, "records"):
        write(tmp_path, 0, [1, 2, 3], bad, good)
    assert caplog.messages == [f"the notes could not be written: no {fails}. The run goes on."]
    assert [step for step, _ in read_history(tmp_path / HISTORY)] == [1, 2, 3]
    assert [call[1] for call in good.calls if call[0] == "add"] == [1, 2, 3]
    assert len(bad.calls) == (1 if fails == "open" else 5)  # one that never opened is left alone


def test_nobody_waits_for_a_slow_writer(tmp_path):
    release = threading.Event()

    class Slow(Noted):
        def add(self, step, values):
            release.wait(30)
            super().add(step, values)

    slow = Slow()
    records = Records(tmp_path, 0, [slow], LOGGER)
    start = time.monotonic()
    for step in range(100):
        records.add(step, {"train/loss": 1.0})
    assert time.monotonic() - start < 20 and not [call for call in slow.calls if call[0] == "add"]
    release.set()
    records.close("complete")
    assert len([call for call in slow.calls if call[0] == "add"]) == 100


class Held(Noted):
    """Opens when it is let, and fails then if it is meant to."""

    def __init__(self, fails=()):
        super().__init__(fails)
        self.release = threading.Event()

    def open(self):
        self.release.wait(30)
        super().open()


def end(writer, background):
    background.call("close", "complete", "", None)
    writer.release.set()
    assert background.finish(time.monotonic() + 60)


def test_a_writer_that_fails_to_open_gets_nothing_that_waited_for_it(caplog):
    held = Held(["open"])
    background = Background(held, LOGGER)
    for step in range(3):
        background.call("add", step, {})
    end(held, background)
    assert held.calls == [("open",)] and len(caplog.messages) == 1


def test_a_writer_that_is_too_slow_is_closed_all_the_same(monkeypatch, caplog):
    monkeypatch.setattr(background_module, "_MOST_WAITING", 3)
    held = Held()
    background = Background(held, LOGGER)
    for step in range(5):
        background.call("add", step, {})
    end(held, background)
    assert [call[0] for call in held.calls] == ["open", "add", "add", "add", "close"]
    assert caplog.messages == ["the notes could not be written: it is too slow. The run goes on."]


def test_all_writers_have_one_deadline_and_those_left_behind_are_named(tmp_path, monkeypatch, caplog):
    deadlines = []
    monkeypatch.setattr(Background, "finish", lambda self, deadline: deadlines.append(deadline))
    records = Records(tmp_path, 0, [Noted(), Noted()], LOGGER)
    records.close("stopped")
    assert len(deadlines) == 2 and len(set(deadlines)) == 1 and deadlines[0] <= time.monotonic() + 20
    assert caplog.messages == ["Not finished 20 s after the run, and left behind: the notes, the notes"]


def test_a_writer_that_hangs_is_not_waited_for_beyond_the_deadline():
    held = Held()
    background = Background(held, LOGGER)
    background.call("close", "complete", "", None)
    assert not background.finish(time.monotonic() + 0.1)
    held.release.set()
    assert background.finish(time.monotonic() + 60) and held.calls[-1][0] == "close"


def test_an_exception_is_the_reason_that_a_run_has_failed(tmp_path):
    noted = Noted()
    with pytest.raises(UserError), Records(tmp_path, 0, [noted], LOGGER):
        raise UserError("the loss is nan by step 3")
    assert noted.calls[-1] == ("close", "failed", "the loss is nan by step 3", None)


def test_a_full_disk_costs_figures_and_one_warning(tmp_path, caplog):
    records = Records(tmp_path, 0, [], LOGGER)

    class Full:
        def write(self, content):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    records._history._file.close()
    records._history._file = Full()
    with caplog.at_level(logging.WARNING, "records"):
        records.add(1, {"train/loss": 1.0})
        records.add(2, {"train/loss": 1.0})
    records.close("complete")
    assert len(caplog.messages) == 1 and "No space left" in caplog.messages[0]


@pytest.mark.parametrize("value", [float("nan"), 1e-30])
def test_numbers_come_back(tmp_path, value):
    write_one = Records(tmp_path, 0, [], LOGGER)
    write_one.add(1, {"train/loss": value})
    write_one.close("complete")
    (record,) = history(tmp_path)
    assert record["train/loss"] == pytest.approx(value, nan_ok=True)
