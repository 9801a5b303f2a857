"""Class centers that are trained a few rows at a time, wherever they live, against dense NumPy."""

import os
import signal
import subprocess
import sys

import numpy as np
import oneflow as flow
import pytest

from heads.device_rounding import round_randomly
from heads.device_rows import DeviceRows
from heads.half import from_bfloat16, to_bfloat16, to_float16
from heads.mapped_rows import MappedRows, find, read_state
from heads.row_store import HostRows
from heads.shards import initial_centers
from heads.sparse_momentum import SparseMomentum
from tests.ranks import ROOT, rank_environment
from utils.errors import UserError

ROWS, E, BATCH = 40, 6, 5


def make(kind, rule, folder, dtype="float32"):
    if kind == "device":
        return DeviceRows(0, ROWS, E, rule, "cpu", 1, dtype)
    if kind == "host":
        return HostRows(0, ROWS, E, rule, dtype, seed=1)
    store = MappedRows(folder, ROWS, 0, ROWS, E, rule, dtype, seed=1)
    store.create()
    return store


def train(store, steps, lr, seed=2):
    """Some steps on random rows; yields (rows, slopes, directions, the centers that were taken)."""
    rng = np.random.default_rng(seed)
    for step in range(steps):
        rows = np.sort(rng.choice(ROWS, 9, replace=False))
        slopes = rng.normal(size=(BATCH, 9)).astype("f") * 0.01
        directions = rng.normal(size=(BATCH, E)).astype("f") * 0.01
        taken = np.empty((9, E), "f")
        if not store.on_host:
            out = flow.zeros(9, E)
            store.take(rows, out, step, lr(step))
            taken = out.numpy()
            gradient = flow.tensor(slopes.T @ directions)
            store.update(rows, lambda slots, g=gradient: g[slots], step, lr(step))
        else:
            store.take(rows, taken, step, lr(step))
            store.update(rows, lambda slots, s=slopes, d=directions: s[:, slots].T @ d, step, lr(step))
        yield rows, slopes, directions, taken


def lr_of(step):
    return 0.1 * (1 - step / 60)


@pytest.mark.parametrize("kind", ["host", "device", "mmap"])
def test_50_steps_equal_numpy(kind, tmp_path):
    store = make(kind, SparseMomentum(0.9, 5e-4), tmp_path / "rows")
    w = initial_centers(0, ROWS, E, 1).astype("d")
    v = np.zeros_like(w)
    for step, (rows, slopes, directions, taken) in enumerate(train(store, 50, lr_of)):
        norm = np.linalg.norm(w[rows], axis=1, keepdims=True)
        unit = w[rows] / norm
        np.testing.assert_allclose(taken, unit, rtol=1e-4, atol=1e-5)
        gradient = slopes.T.astype("d") @ directions
        gradient = (gradient - unit * (gradient * unit).sum(axis=1, keepdims=True)) / norm
        v[rows] = 0.9 * v[rows] + gradient + 5e-4 * w[rows]
        w[rows] -= lr_of(step) * v[rows]
    found = store.arrays()
    assert np.abs(found["weight"] - initial_centers(0, ROWS, E, 1)).max() > 1e-3
    np.testing.assert_allclose(found["weight"], w, rtol=1e-4, atol=1e-5 * np.abs(w).max())
    np.testing.assert_allclose(found["momentum"], v, rtol=1e-4, atol=1e-5 * np.abs(v).max())


@pytest.mark.parametrize("kind", ["host", "device"])
def test_corrected_rows_go_as_in_dense_sgd_whose_gradient_is_zero_meanwhile(kind, tmp_path):
    store = make(kind, SparseMomentum(0.9, 5e-2, correct_skipped=True), tmp_path / "rows")
    w = initial_centers(0, ROWS, E, 1).astype("d")
    v = np.zeros_like(w)
    for rows, slopes, directions, taken in train(store, 50, lambda step: 0.1):
        norm = np.linalg.norm(w[rows], axis=1, keepdims=True)
        unit = w[rows] / norm
        np.testing.assert_allclose(taken, unit, rtol=1e-4, atol=1e-5)
        gradient = np.zeros_like(w)
        part = slopes.T.astype("d") @ directions
        gradient[rows] = (part - unit * (part * unit).sum(axis=1, keepdims=True)) / norm
        v = 0.9 * v + gradient + 5e-2 * w
        w -= 0.1 * v
    found = store.arrays()
    last = found["last_step"] == 49  # these have caught up
    assert 0 < last.sum() < ROWS
    np.testing.assert_allclose(found["weight"][last], w[last], rtol=1e-4, atol=1e-5 * np.abs(w).max())


def test_skipped_rows_stay_as_they_are(tmp_path):
    store = make("host", SparseMomentum(), tmp_path)
    before = store.arrays()["weight"].copy()
    (rows, *_), *_ = list(train(store, 1, lr_of))
    others = np.setdiff1d(np.arange(ROWS), rows)
    np.testing.assert_array_equal(store.arrays()["weight"][others], before[others])
    assert not store.arrays()["momentum"][others].any()


@pytest.mark.parametrize("narrow", ["float16", "bfloat16"])
def test_rounding_is_right_on_average(narrow):
    rng = np.random.default_rng(0)
    values = (rng.choice([-1, 1], 64) * rng.uniform(1, 2, 64) * 10.0 ** rng.integers(-4, 3, 64)).astype("f")
    many = np.repeat(values[:, None], 20000, axis=1)
    noise = rng.integers(0, 1 << 32, many.shape, np.uint32)
    rounded = to_float16(many, noise).astype("d") if narrow == "float16" else from_bfloat16(to_bfloat16(many, noise))
    spacing = np.abs(values) * 2.0 ** (-10 if narrow == "float16" else -7)
    assert (np.abs(rounded - many) <= spacing[:, None]).all()
    error = np.abs(rounded.astype("d").mean(axis=1) - values)
    assert (error < 5 * spacing / np.sqrt(12 * 20000) * np.sqrt(3)).all()


@pytest.mark.parametrize("kind", ["host", "device"])
def test_steps_below_the_spacing_of_float16_are_not_lost(kind, tmp_path):
    exact, half = (make(kind, SparseMomentum(0.9, 0.0), tmp_path, dtype) for dtype in ("float32", "float16"))
    for store in (exact, half):
        for _ in train(store, 50, lambda step: 0.02):
            pass
    moved = exact.arrays()["weight"] - initial_centers(0, ROWS, E, 1)
    error = half.arrays()["weight"].astype("f") - exact.arrays()["weight"]
    assert half.arrays()["weight"].dtype == np.float16 and half.arrays()["momentum"].dtype == np.uint16
    assert np.abs(error).mean() < 0.05 * np.abs(moved).mean()


@pytest.mark.parametrize("kind", ["host", "mmap", "device"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_whole_shard_trains_as_its_rows_do_and_leaves_its_centers(kind, dtype, tmp_path, monkeypatch):
    """A slice takes other ways than a list of rows (views, blocks), and `update` leaves what `take` would give."""
    by_rows, whole = (make(kind, SparseMomentum(), tmp_path / name, dtype) for name in ("rows", "whole"))
    for store in (by_rows, whole):
        store._block = 7
    rng, everything = np.random.default_rng(3), slice(0, ROWS)
    for step in range(3):
        gradient = rng.normal(size=(ROWS, E)).astype("f")
        centers, again = np.zeros((ROWS, E), "f"), np.zeros((ROWS, E), "f")
        if kind == "device":
            gradient, centers, again = (flow.tensor(array) for array in (gradient, centers, again))
        by_rows.update(np.arange(ROWS), gradient.__getitem__, step, 0.1)
        whole.update(everything, gradient.__getitem__, step, 0.1, centers)
        whole.take(everything, again, step + 1, 0.1)
        np.testing.assert_array_equal(np.asarray(centers), np.asarray(again))
        np.testing.assert_allclose(np.linalg.norm(np.asarray(centers), axis=1), 1, rtol=1e-6)
    for name, rows in by_rows.arrays().items():
        np.testing.assert_array_equal(whole.arrays()[name], rows)


@pytest.mark.parametrize("dtype", [flow.float16, flow.bfloat16])
def test_rounding_on_a_device_is_right_on_average(dtype):
    rng = np.random.default_rng(0)
    values = (rng.choice([-1, 1], 64) * rng.uniform(1, 2, 64) * 10.0 ** rng.integers(-4, 3, 64)).astype("f")
    values[:4] = 1.0, 0.0, 3e-6, 2.0**-15  # exact, zero, and where float16 has fewer digits
    many = np.repeat(values[:, None], 20000, axis=1)
    noise = flow.tensor(rng.random(many.shape, np.float32))
    rounded = round_randomly(flow.tensor(many), dtype, noise).to(flow.float32).numpy().astype("d")
    again = round_randomly(flow.tensor(rounded.astype("f")), dtype, noise).to(flow.float32).numpy()
    np.testing.assert_array_equal(again, rounded)  # what it can hold stays
    bits = 10 if dtype == flow.float16 else 7
    spacing = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(values), 1e-30))) - bits)
    if dtype == flow.float16:
        spacing = np.maximum(spacing, 2.0**-24)
    assert (np.abs(rounded - values[:, None]) <= spacing[:, None]).all()
    error = np.abs(rounded.mean(axis=1) - values)
    assert (error <= 5 * spacing / 2 / np.sqrt(20000)).all()


@pytest.mark.parametrize("kind", ["host", "mmap", "device"])
@pytest.mark.parametrize("stored", ["float32", "float16"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_of_either_type_are_taken_over(kind, stored, dtype, tmp_path):
    source = make("host", SparseMomentum(), tmp_path, stored)
    list(train(source, 3, lr_of))
    target = make(kind, SparseMomentum(), tmp_path / "rows", dtype)
    for name, rows in source.arrays().items():
        target.load(name, rows.copy())
    for name, rows in source.arrays().items():
        wide = [from_bfloat16(a) if a.dtype == np.uint16 else a.astype("f") for a in (rows, target.arrays()[name])]
        tolerance = 2e-2 if name == "momentum" and stored != dtype else 1e-3
        np.testing.assert_allclose(wide[1], wide[0], rtol=0 if stored == dtype else tolerance, atol=0)


def test_files_are_shared_by_any_number_of_ranks_and_remember_their_step(tmp_path):
    rule = SparseMomentum()
    whole = make("mmap", rule, tmp_path / "rows")
    list(train(whole, 3, lr_of))
    whole.flush(3)
    for ranks in (2, 3):
        for rank in range(ranks):
            start, stop = rank * ROWS // ranks, (rank + 1) * ROWS // ranks
            share = MappedRows(tmp_path / "rows", ROWS, start, stop, E, rule, "float32", seed=1)
            assert share.open(3) is None
            np.testing.assert_array_equal(share.arrays()["weight"], whole.arrays()["weight"][start:stop])
    assert "of step 3, not of step 2" in whole.open(2)
    list(train(whole, 1, lr_of))
    assert "some steps more" in whole.open(3)


def test_trained_centers_are_set_aside_and_found_there(tmp_path):
    first = make("mmap", SparseMomentum(), tmp_path / "rows")
    list(train(first, 2, lr_of))
    kept, identity = first.arrays()["weight"].copy(), first.flush(2)["identity"]
    os.close(first._lock)
    second = make("mmap", SparseMomentum(), tmp_path / "rows")
    np.testing.assert_array_equal(second.arrays()["weight"], initial_centers(0, ROWS, E, 1))
    assert find(identity, [tmp_path / "rows"]) == tmp_path / "rows.previous"
    np.testing.assert_array_equal(np.load(tmp_path / "rows.previous" / "weight.npy"), kept)
    os.close(second._lock)
    os.close(make("mmap", SparseMomentum(), tmp_path / "rows")._lock)  # nothing was trained in between
    assert read_state(tmp_path / "rows.previous").identity == identity


def test_other_files_and_centers_in_use_are_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "part-00000").write_text("precious")
    with pytest.raises(UserError, match="holds other files"):
        make("mmap", SparseMomentum(), tmp_path / "photos")
    assert (tmp_path / "photos" / "part-00000").read_text() == "precious"
    used = make("mmap", SparseMomentum(), tmp_path / "rows")
    with pytest.raises(UserError, match="another run"):
        make("mmap", SparseMomentum(), tmp_path / "rows")
    assert read_state(tmp_path / "rows").identity == used.about()["identity"]


def test_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    first = make("mmap", SparseMomentum(), tmp_path / "rows")
    list(train(first, 1, lr_of))
    identity = first.about()["identity"]
    os.close(first._lock)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        make("mmap", SparseMomentum(), tmp_path / "rows")
    assert read_state(tmp_path / "rows").identity == identity
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows"]


@pytest.mark.parametrize("corrected", [False, True])
def test_files_survive_kill_9(tmp_path, corrected):
    program = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from tests.heads.test_row_store import *\n"
        f"store = make('mmap', SparseMomentum(0.0, 5e-4, {corrected}), Path(sys.argv[1]))\n"
        "list(train(store, 5, lr_of)); store.flush(5); np.save(sys.argv[2], store.arrays()['weight'])\n"
        "for step, _ in enumerate(train(store, 10**9, lambda step: 1e-6)): print(step, flush=True)\n"
    )
    flushed = tmp_path / "flushed.npy"
    command = [sys.executable, "-c", program, str(tmp_path / "rows"), str(flushed)]
    with subprocess.Popen(command, cwd=ROOT, env=rank_environment(), stdout=subprocess.PIPE, text=True) as process:
        while process.stdout.readline().strip() != "40":
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
    rule = SparseMomentum(0.0, 5e-4, corrected)
    store = MappedRows(tmp_path / "rows", ROWS, 0, ROWS, E, rule, "float32", seed=1)
    store.claim()  # the killed process holds nothing
    assert "some steps more" in store.open(5)
    assert not np.array_equal(store.arrays()["weight"], np.load(flushed))
    np.testing.assert_allclose(store.arrays()["weight"], np.load(flushed), atol=1e-4)
    for *_, taken in train(store, 2, lambda step: 1e-6):
        np.testing.assert_allclose(np.linalg.norm(taken, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(store.arrays()["weight"], np.load(flushed), atol=1e-4)


def test_files_of_another_head_are_refused(tmp_path):
    rule = SparseMomentum()
    list(train(make("mmap", rule, tmp_path / "rows"), 1, lr_of))

    def opened(size=E, dtype="float32", rule=rule):
        MappedRows(tmp_path / "rows", ROWS, 0, ROWS, size, rule, dtype, seed=1).open(0)

    with pytest.raises(UserError, match=r"not .* float16"):
        opened(dtype="float16")
    with pytest.raises(UserError, match=r"\(40, 6\) float32, not \(40, 8\)"):
        opened(size=8)
    with pytest.raises(UserError, match="correct_skipped=False"):
        opened(rule=SparseMomentum(correct_skipped=True))
    (tmp_path / "rows" / "weight.npy").unlink()
    with pytest.raises(UserError, match=r"weight\.npy cannot be used"):
        opened()
