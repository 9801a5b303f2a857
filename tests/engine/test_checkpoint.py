"""Checkpoints: whole or not there, whatever happens while they are written; damage is found and named."""

import json
import multiprocessing
import os
import random
import resource
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from engine.checkpoint import Checkpoint, list_checkpoints, newest_checkpoint, save_checkpoint, set_aside_later, step_of
from preparation.workers import garbage_kept
from utils.errors import UserError


class OneRank:
    """A runtime of one rank, without OneFlow, so that it can be forked and killed."""

    rank, ranks, is_main = 0, 1, True

    def sum_over_ranks(self, array):
        return array


def numbers(step, rows=200):
    """(rows, 8), no two alike, nor those of two steps."""
    return step + np.arange(rows * 8, dtype=np.float32).reshape(rows, 8) / (1 << 20)


def save(folder, step, keep=3, best_step=0, rows=200, state=None, tensors=None, runtime=None, ranks=1):
    about = {"step": step, "ranks": ranks, "best": 0.5, "best_step": best_step, "network": "r18", "embedding_size": 8}
    full = numbers(step, rows)
    return save_checkpoint(
        folder,
        about,
        {"fc.weight": full, "bn.running_mean": full[0]},
        state or {"backbone.fc.weight/m": full, "center_updates": np.array([step])},
        tensors or {"head.weight": full, "head.weight/m": full + 0.5},
        {"bn.running_mean": full[1]},
        runtime or OneRank(),
        keep,
    )


def test_gives_back_what_was_saved(tmp_path):
    checkpoint = Checkpoint(save(tmp_path / "c", 7), OneRank())
    assert checkpoint.about["step"] == 7
    np.testing.assert_array_equal(checkpoint.backbone(0, 1)["fc.weight"], numbers(7))
    np.testing.assert_array_equal(checkpoint.backbone(0, 1)["bn.running_mean"], numbers(7)[1])  # the rank's own
    np.testing.assert_array_equal(checkpoint.backbone(0, 2)["bn.running_mean"], numbers(7)[0])
    np.testing.assert_array_equal(checkpoint.state()["backbone.fc.weight/m"], numbers(7))
    centers = checkpoint.centers()
    assert centers.step == 7 and centers.folder is None
    assert centers.has("weight") and centers.has("m") and not centers.has("momentum")
    np.testing.assert_array_equal(centers.read("m", 50, 60), numbers(7)[50:60] + 0.5)


def test_a_checkpoint_in_the_names_of_before_is_read(tmp_path):
    full = np.arange(80, dtype=np.float32).reshape(10, 8)
    state = {"backbone.fc.weight": full, "System-Train-TrainStep": np.array([6])}
    tensors = {"head.weight": full, "head.momentum": full + 1, "head.last_step": np.arange(10, dtype=np.int32)}
    checkpoint = Checkpoint(save(tmp_path / "c", 7, state=state, tensors=tensors), OneRank())
    restored = checkpoint.state()
    np.testing.assert_array_equal(restored["backbone.fc.weight/momentum"], full)
    assert (restored["updates"], restored["skipped"], restored["center_updates"]) == (6, 1, 7)
    centers = checkpoint.centers()
    np.testing.assert_array_equal(centers.read("momentum", 2, 5), full[2:5] + 1)
    np.testing.assert_array_equal(centers.read("last_step", 2, 5), [2, 3, 4])


def test_all_of_a_steps_state_comes_back(tmp_path):
    """The loss scale of AMP and its counts too, each in its type."""
    counts = {"updates": 5, "skipped": 2, "center_updates": 7, "good_steps": 1999}
    state = {"backbone.fc.weight/m": numbers(7), **{name: np.array([count]) for name, count in counts.items()}}
    state |= {"loss_scale": np.array([2.0**20], np.float32), "loss.t": np.array([0.5], np.float32)}
    found = Checkpoint(save(tmp_path, 7, state=state), OneRank()).state()
    assert found.keys() == state.keys()
    for name, array in state.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


class OtherRankFails(OneRank):
    """One of two ranks, the other of which fails in the collective with this number."""

    def __init__(self, number, rank=0):
        self._left, self.rank, self.is_main = number, rank, rank == 0

    def sum_over_ranks(self, array):
        self._left -= 1
        return array + (self._left < 0)


@pytest.mark.parametrize("number", range(3))
def test_what_another_rank_cannot_write_is_an_error_on_this_one_too(tmp_path, number):
    save(tmp_path, 1)
    with pytest.raises(OSError, match="another rank could not write"):
        save(tmp_path, 2, runtime=OtherRankFails(number))
    assert not list(tmp_path.glob("*.partial"))
    assert newest_checkpoint(tmp_path, OneRank(), pytest.fail).about["step"] in (1, 2)


@pytest.mark.parametrize("number", range(3))
def test_what_the_main_rank_cannot_write_is_an_error_on_the_others_too(tmp_path, number):
    (tmp_path / "step-00000002.partial").mkdir()  # as the main one has made it
    with pytest.raises(OSError, match="another rank could not write"):
        save(tmp_path, 2, runtime=OtherRankFails(number, rank=1))


def test_a_rank_that_wrote_nothing_is_missed(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(OSError, match="1 of 2 ranks wrote into"):
        save(tmp_path, 2, ranks=2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_keeps_the_newest_and_the_best(tmp_path):
    for step in range(1, 8):
        save(tmp_path, step, keep=2, best_step=min(step, 3))
    assert [path.name[-1] for path in list_checkpoints(tmp_path)] == ["3", "6", "7"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete"])
def test_damage_is_named_and_the_one_before_is_taken(tmp_path, damage):
    names = sorted(path.name for path in save(tmp_path / "all", 1).iterdir())
    assert len(names) == 5
    for name in names:
        folder = tmp_path / f"{damage}-{name}"
        save(folder, 1)
        file = save(folder, 2) / name
        content = bytearray(file.read_bytes())
        if damage == "delete":
            file.unlink()
        else:
            content[len(content) // 2] ^= 1
            file.write_bytes(content if damage == "flip" and name != "checkpoint.json" else content[:-20])
        messages = []
        newest = newest_checkpoint(folder, OneRank(), messages.append)
        assert newest.about["step"] == 1
        assert len(messages) == 1 and name in messages[0] and "step-00000002" in messages[0]
        (folder / "step-00000001" / "checkpoint.json").unlink()
        with pytest.raises(UserError, match=r"no checkpoint in .* is whole"):
            newest_checkpoint(folder, OneRank(), messages.append)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda about: about.update(step=8), "it was altered, or is damaged"),
        (lambda about: about.update(files={}), "it was altered, or is damaged"),
        (lambda about: (about.pop("sha256"), about.update(files={})), "does not say what backbone.safetensors is"),
        (lambda about: (about.pop("sha256"), about["files"].pop("config.json")), "does not say what config.json is"),
        (
            lambda about: (about.pop("sha256"), about["files"].update({"../x": about["files"]["config.json"]})),
            "its files",
        ),
        (lambda about: (about.pop("sha256"), about.update(step="7")), "its step is not what it can be"),
        (lambda about: (about.pop("sha256"), about.pop("ranks")), "its ranks is missing"),
        (lambda about: (about.pop("sha256"), about.update(ranks=10**9)), "its ranks is not what it can be"),
    ],
)
def test_a_description_that_was_changed_is_refused(tmp_path, change, said):
    path = save(tmp_path, 7) / "checkpoint.json"
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about))
    with pytest.raises(UserError, match=said):
        Checkpoint(path.parent, OneRank())


def test_a_description_without_a_seal_is_read_with_a_note(tmp_path):
    path = save(tmp_path, 7) / "checkpoint.json"
    assert Checkpoint(path.parent, OneRank()).note is None
    about = json.loads(path.read_text())
    del about["sha256"]
    path.write_text(json.dumps(about))
    assert "no checksum of itself" in Checkpoint(path.parent, OneRank()).note


def test_other_folders_are_no_checkpoints(tmp_path):
    save(tmp_path, 7)
    for name in ("step-final", "step-", "step-00000009.partial", "step-1e3"):
        (tmp_path / name).mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000007"]
    assert newest_checkpoint(tmp_path, OneRank(), pytest.fail).about["step"] == 7


def test_a_deep_description_does_not_hide_the_one_before(tmp_path):
    save(tmp_path, 1)
    (save(tmp_path, 2) / "checkpoint.json").write_text("[" * 200_000)
    messages = []
    assert newest_checkpoint(tmp_path, OneRank(), messages.append).about["step"] == 1
    assert "nested too deeply" in messages[0]


def test_a_run_that_starts_earlier_sets_later_checkpoints_aside(tmp_path):
    folder = tmp_path / "checkpoints"
    for step in (2, 4, 6):
        save(folder, step)
    aside = set_aside_later(folder, 2)
    assert [p.name for p in list_checkpoints(folder)] == ["step-00000002"]
    assert [p.name for p in list_checkpoints(aside)] == ["step-00000004", "step-00000006"]
    assert set_aside_later(folder, 2) is None


@pytest.mark.parametrize("moves", range(4))
def test_a_start_killed_while_it_sets_checkpoints_aside_is_finished_by_the_next(tmp_path, monkeypatch, moves):
    """With resume=True, or from the beginning."""
    rename, done = Path.rename, []

    def rename_until_killed(path, target):
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(target)
        return rename(path, target)

    for way in ("resume", "beginning"):
        folder = tmp_path / way / "checkpoints"
        for step in (2, 4, 6, 8):
            save(folder, step, keep=9)
        save(folder.with_name("checkpoints.previous"), 9)
        done.clear()
        with monkeypatch.context() as killing, pytest.raises(KeyboardInterrupt):
            killing.setattr(Path, "rename", rename_until_killed)
            set_aside_later(folder, 2)
        if way == "resume":
            assert newest_checkpoint(folder, OneRank(), pytest.fail).about["step"] == 2
        aside = set_aside_later(folder, 2 if way == "resume" else 0) or folder.with_name("checkpoints.previous")
        wanted = [4, 6, 8] if way == "resume" else [2, 4, 6, 8]
        assert [step_of(path) for path in list_checkpoints(aside)] == wanted
        assert {path.name for path in folder.parent.iterdir()} == {"checkpoints", "checkpoints.previous"}


def test_who_resumes_from_a_later_one_after_such_a_kill_keeps_it(tmp_path):
    folder = tmp_path / "checkpoints"
    for step in (2, 4):
        save(folder, step)
    save(tmp_path / "checkpoints.setting_aside-2", 6)
    aside = set_aside_later(folder, 4)
    assert [step_of(path) for path in list_checkpoints(folder)] == [2, 4]
    assert [step_of(path) for path in list_checkpoints(aside)] == [6]


def save_for_ever(folder, started):
    step = max(map(step_of, list_checkpoints(folder)), default=0)
    started.set()
    while True:
        step += 1
        save(folder, step, rows=20_000)


def test_killed_at_any_moment_the_newest_is_whole(tmp_path):
    """40 kills, more on a busy machine, while checkpoints are written one after the other."""
    fork = multiprocessing.get_context("fork")
    rng = random.Random(0)
    kills = reached = 0
    while kills < 40 or (reached <= 5 and kills < 400):
        kills += 1
        started = fork.Event()
        process = fork.Process(target=save_for_ever, args=(tmp_path, started))
        with garbage_kept():
            process.start()
        assert started.wait(20)
        time.sleep(rng.uniform(0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        messages = []
        newest = newest_checkpoint(tmp_path, OneRank(), messages.append)
        assert messages == []  # nothing half-written is taken for whole
        step = newest.about["step"] if newest else 0
        assert step >= reached  # nothing is lost
        reached = step
    assert reached > 5
    save(tmp_path, reached + 1)
    assert not list(tmp_path.glob("*.partial"))  # what the last kill left is cleared away


@contextmanager
def largest_file(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("size", [100, 20_000, 100_000])
def test_a_disk_that_is_full_leaves_the_last_one_intact(tmp_path, size):
    save(tmp_path, 1)
    with largest_file(size), pytest.raises(OSError, match="File too large"):
        save(tmp_path, 2, rows=5000)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert newest_checkpoint(tmp_path, OneRank(), pytest.fail).about["step"] == 1
