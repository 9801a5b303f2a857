"""Class centers in files that ranks share, and that outlive a killed run."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from heads.shards import initial_centers
from heads.stores.mapped import find, read_state
from heads.stores.store import RowShape
from optim import make_optimizer
from tests.heads.stores.made import lr_of, make_store, train
from tests.ranks import ROOT, rank_environment
from utils.errors import UserError

ROWS, E = 40, 6


def store_of(folder, share=None, corrected=False, momentum=0.9):
    optimizer = make_optimizer("sgd", momentum=momentum)
    return make_store("mmap", ROWS, (E,), optimizer, folder, share=share, correct_skipped=corrected)


def made(folder, corrected=False, momentum=0.9):
    store = store_of(folder, None, corrected, momentum)
    store.begin()
    return store


def flush(store, step):
    saving = store.saving(step)
    saving.flush()
    return saving.about


def test_files_are_shared_by_any_number_of_ranks_and_remember_their_step(tmp_path):
    whole = made(tmp_path / "rows")
    list(train(whole, 3, lr_of))
    flush(whole, 3)
    for ranks in (2, 3):
        for rank in range(ranks):
            start, stop = rank * ROWS // ranks, (rank + 1) * ROWS // ranks
            share = store_of(tmp_path / "rows", (start, stop))
            assert share._open(3) is None
            np.testing.assert_array_equal(share.arrays()["weight"], whole.arrays()["weight"][start:stop])
    assert "of step 3, not of step 2" in whole._open(2)
    list(train(whole, 1, lr_of))
    assert "some steps more" in whole._open(3)


def test_rows_are_on_the_disk_before_the_step_they_are_of(tmp_path, monkeypatch):
    """kill -9 cannot show it: what is not brought to the disk outlives a process, but no power cut."""
    store, flushed = made(tmp_path / "rows"), []
    list(train(store, 3, lr_of))
    real = np.memmap.flush

    def flush_and_note(array):
        real(array)
        flushed.append((os.path.basename(array.filename), read_state(tmp_path / "rows").step))

    monkeypatch.setattr(np.memmap, "flush", flush_and_note)
    flush(store, 3)
    rows = [one for one in flushed if one[0] != "state.npy"]
    assert set(rows) == {("momentum.npy", 0), ("weight.npy", 0)}
    assert flushed[: len(rows)] == rows and set(flushed[len(rows) :]) == {("state.npy", 3)}


def test_trained_centers_are_set_aside_and_found_there(tmp_path):
    first = made(tmp_path / "rows")
    list(train(first, 2, lr_of))
    kept, identity = first.arrays()["weight"].copy(), flush(first, 2)["identity"]
    os.close(first._lock)
    second = made(tmp_path / "rows")
    np.testing.assert_array_equal(second.arrays()["weight"], initial_centers(0, ROWS, (E,), 1))
    assert find(identity, [tmp_path / "rows"]) == tmp_path / "rows.previous"
    np.testing.assert_array_equal(np.load(tmp_path / "rows.previous" / "weight.npy"), kept)
    os.close(second._lock)
    os.close(made(tmp_path / "rows")._lock)  # nothing was trained in between
    assert read_state(tmp_path / "rows.previous").identity == identity


def test_other_files_and_centers_in_use_are_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "part-00000").write_text("precious")
    with pytest.raises(UserError, match="holds other files"):
        made(tmp_path / "photos")
    assert (tmp_path / "photos" / "part-00000").read_text() == "precious"
    used = made(tmp_path / "rows")
    with pytest.raises(UserError, match="another run"):
        made(tmp_path / "rows")
    assert read_state(tmp_path / "rows").identity == used.saving(0).about["identity"]


def test_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    first = made(tmp_path / "rows")
    list(train(first, 1, lr_of))
    identity = first.saving(1).about["identity"]
    os.close(first._lock)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match="No space"):
        made(tmp_path / "rows")
    assert read_state(tmp_path / "rows").identity == identity
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows"]


@pytest.mark.parametrize("corrected", [False, True])
def test_files_survive_kill_9(tmp_path, corrected):
    program = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from tests.heads.stores.test_mapped import *\n"
        f"store = made(Path(sys.argv[1]), {corrected}, momentum=0.0 if not {corrected} else 0.1)\n"
        "list(train(store, 5, lr_of)); flush(store, 5); np.save(sys.argv[2], store.arrays()['weight'])\n"
        "for step, _ in enumerate(train(store, 10**9, lambda step: 1e-6)): print(step, flush=True)\n"
    )
    flushed = tmp_path / "flushed.npy"
    command = [sys.executable, "-c", program, str(tmp_path / "rows"), str(flushed)]
    with subprocess.Popen(command, cwd=ROOT, env=rank_environment(), stdout=subprocess.PIPE, text=True) as process:
        while process.stdout.readline().strip() != "40":
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
    store = store_of(tmp_path / "rows", None, corrected, momentum=0.1 if corrected else 0.0)
    store._claim()  # the killed process holds nothing
    assert "some steps more" in store._open(5)
    assert not np.array_equal(store.arrays()["weight"], np.load(flushed))
    np.testing.assert_allclose(store.arrays()["weight"], np.load(flushed), atol=1e-4)
    for *_, taken in train(store, 2, lambda step: 1e-6):
        np.testing.assert_allclose(np.linalg.norm(taken, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(store.arrays()["weight"], np.load(flushed), atol=1e-4)


def test_files_of_another_head_are_refused(tmp_path):
    list(train(made(tmp_path / "rows"), 1, lr_of))
    folder, sgd = tmp_path / "rows", make_optimizer("sgd")

    with pytest.raises(UserError, match=r"not .* float16"):
        make_store("mmap", ROWS, (E,), sgd, folder, "float16")._open(0)
    with pytest.raises(UserError, match=r"\(40, 6\) float32, not \(40, 8\)"):
        make_store("mmap", ROWS, (8,), sgd, folder)._open(0)
    with pytest.raises(UserError, match="correct_skipped=False"):
        make_store("mmap", ROWS, (E,), sgd, folder, correct_skipped=True)._open(0)
    with pytest.raises(UserError, match=r"m\.npy cannot be used"):
        make_store("mmap", ROWS, (E,), make_optimizer("adamw"), folder)._open(0)
    np.save(tmp_path / "rows" / "weight.npy", np.zeros((0, E), np.float32))
    with pytest.raises(UserError, match=r"weight\.npy .* has no numbers"):
        make_store("mmap", ROWS, (E,), sgd, folder)._open(0)
    (tmp_path / "rows" / "weight.npy").unlink()
    with pytest.raises(UserError, match=r"weight\.npy cannot be used"):
        make_store("mmap", ROWS, (E,), sgd, folder)._open(0)


def test_another_phase_keeps_weights_and_begins_other_slots_from_zero(tmp_path):
    store = made(tmp_path / "rows")
    list(train(store, 3, lr_of))
    weight, momentum = (store.arrays()[name].copy() for name in ("weight", "momentum"))
    store.change(RowShape((E,)), make_optimizer("sgd", momentum=0.5), True, 3)
    np.testing.assert_array_equal(store.arrays()["momentum"], momentum)
    assert (store.arrays()["last_step"] == 2).all()  # from here on: there is nothing to catch up with
    store.change(RowShape((E,)), make_optimizer("adamw"), False, 3)
    np.testing.assert_array_equal(store.arrays()["weight"], weight)
    assert set(store.arrays()) == {"weight", "m", "v"} and not store.arrays()["v"].any()
    assert {path.name for path in (tmp_path / "rows").glob("*.npy")} == {"weight.npy", "m.npy", "v.npy", "state.npy"}
    with pytest.raises(UserError, match="cannot become those of another phase"):
        store.change(RowShape((E + 1,)), make_optimizer("adamw"), False, 3)
