"""Class centers that are trained a few rows at a time, wherever they live, against dense NumPy."""

from itertools import product

import numpy as np
import oneflow as flow
import pytest

from heads.shards import initial_centers
from heads.stores.half import from_bfloat16
from heads.stores.store import RowShape
from optim import list_optimizers, make_optimizer
from tests.heads.stores.made import lr_of, make_store, train
from tests.optim.formulas import OPTIMIZERS
from utils.errors import UserError

ROWS, E = 40, 6
KINDS = ["host", "device", "mmap"]
ROW_WISE = [name for name in list_optimizers() if make_optimizer(name).row_wise]
# Arguments of RowShape: a class's vector, several of them, numbers that are used as they are, with parameters.
SHAPES = {
    "center": ((E,), True),
    "centers": ((3, E), True),
    "raw": ((E + 1,), False),
    "number": ((1,), False),
    "parameters": ((E + 2,), True, (0.4, -0.3)),
    "centers with parameters": ((3, E + 1), True, (0.4,)),
}
CASES = [(kind, name, "center") for kind, name in product(KINDS, ROW_WISE)]
CASES += [(kind, "sgd", shape) for kind, shape in product(("host", "device"), SHAPES)] + [("mmap", "sgd", "parameters")]


def made(kind, folder, optimizer=None, dtype="float32", shape=(E,), **settings):
    store = make_store(kind, ROWS, shape, optimizer or make_optimizer("sgd"), folder, dtype, **settings)
    store.begin()
    return store


def through_norm(gradient, w, parameters=0):
    """(center, gradient by w) of what has `gradient` by the center w / |w|; the last numbers are parameters."""
    gradient, w, kept = gradient.copy(), w.copy(), w.shape[-1] - parameters
    norm = np.linalg.norm(w[..., :kept], axis=-1, keepdims=True)
    w[..., :kept] /= norm
    unit, part = w[..., :kept], gradient[..., :kept]
    gradient[..., :kept] = (part - unit * (part * unit).sum(axis=-1, keepdims=True)) / norm
    return w, gradient


@pytest.mark.parametrize(("kind", "optimizer", "shape"), CASES)
def test_50_steps_equal_numpy(kind, optimizer, shape, tmp_path):
    row = RowShape(*SHAPES[shape])
    decay = 0.05
    rule = make_optimizer(optimizer, weight_decay=decay)
    store = made(kind, tmp_path / "rows", rule, **vars(row))
    w, kept = initial_centers(0, ROWS, row.shape, 1).astype("d"), {}
    for i, value in enumerate(row.parameters):
        w[..., row.vector + i] = value
    start = w.copy()

    def lr(step):  # Adam's steps are about as large as its rate, whatever the gradient
        return lr_of(step) * (0.01 if "v" in rule.slots else 1)

    for step, (rows, gradient, taken) in enumerate(train(store, 50, lr)):
        own = w[rows].copy()
        gradient = gradient.astype("d")
        if row.normalized:
            own, gradient = through_norm(gradient, own, len(row.parameters))
        np.testing.assert_allclose(taken, own, rtol=1e-4, atol=5e-5)
        held = {slot: values[rows] for slot, values in kept.items()}
        w[rows], held = OPTIMIZERS[optimizer](w[rows], held, gradient, lr(step), decay, step + 1)
        for slot, values in held.items():
            kept.setdefault(slot, np.zeros_like(w))[rows] = values
    arrays = store.arrays()
    assert (np.abs(arrays["weight"] - start).max(axis=tuple(range(arrays["weight"].ndim - 1))) > 1e-3).all()
    assert set(kept) == set(arrays) - {"weight"}
    for name, expected in {"weight": w, **kept}.items():
        np.testing.assert_allclose(arrays[name], expected, rtol=1e-4, atol=2e-5 * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize("kind", ["host", "device"])
@pytest.mark.parametrize("optimizer", ["sgd", "sgdw"])
def test_corrected_rows_go_as_in_dense_sgd_whose_gradient_is_zero_meanwhile(kind, optimizer, tmp_path):
    rule = make_optimizer(optimizer, weight_decay=5e-2)
    store = made(kind, tmp_path / "rows", rule, correct_skipped=True)
    w, kept = initial_centers(0, ROWS, (E,), 1).astype("d"), {}
    for step, (rows, part, taken) in enumerate(train(store, 50, lambda step: 0.1)):
        gradient = np.zeros_like(w)
        unit, gradient[rows] = through_norm(part.astype("d"), w[rows])
        np.testing.assert_allclose(taken, unit, rtol=1e-4, atol=1e-5)
        w, kept = OPTIMIZERS[optimizer](w, kept, gradient, 0.1, 5e-2, step + 1)
    arrays = store.arrays()
    last = arrays["last_step"] == 49  # these have caught up
    assert 0 < last.sum() < ROWS
    np.testing.assert_allclose(arrays["weight"][last], w[last], rtol=1e-4, atol=1e-5 * np.abs(w).max())


def test_an_optimizer_without_a_closed_form_says_so():
    assert make_optimizer("adamw").catch_up(np.array([3]), 0.1) is None


def test_skipped_rows_stay_as_they_are(tmp_path):
    store = made("host", tmp_path)
    before = store.arrays()["weight"].copy()
    (rows, *_), *_ = list(train(store, 1, lr_of))
    others = np.setdiff1d(np.arange(ROWS), rows)
    np.testing.assert_array_equal(store.arrays()["weight"][others], before[others])
    assert not store.arrays()["momentum"][others].any()


@pytest.mark.parametrize("kind", ["host", "device"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("shape", [(E,), (3, E)])
def test_steps_below_the_spacing_of_float16_are_not_lost(kind, optimizer, shape, tmp_path):
    rule = make_optimizer(optimizer, weight_decay=0.0)
    lr = {"sgd": 0.02, "adamw": 3e-6}[optimizer]
    exact, half = (made(kind, tmp_path, rule, dtype, shape) for dtype in ("float32", "float16"))
    for store in (exact, half):
        for _ in train(store, 50, lambda step: lr):
            pass
    moved = exact.arrays()["weight"] - initial_centers(0, ROWS, shape, 1)
    error = half.arrays()["weight"].astype("f") - exact.arrays()["weight"]
    assert half.arrays()["weight"].dtype == np.float16
    assert all(half.arrays()[slot].dtype == np.uint16 for slot in rule.slots)
    along = (error * moved).sum() / (moved * moved).sum()  # -1 if nothing moves
    assert abs(along) < 0.2


@pytest.mark.parametrize("kind", ["host", "device"])
def test_float16_is_rounded_by_other_numbers_in_each_step_and_on_each_rank(kind, tmp_path):
    """Else the errors of a row would add up, and equal rows of two ranks would stay equal."""
    rows = np.random.default_rng(5).normal(size=(20, E)).astype("f")
    gradient = np.full((20, E), 1e-4, "f")

    def rounded(step, share):
        rule = make_optimizer("sgd", weight_decay=0.0)
        store = make_store(kind, ROWS, (E,), rule, tmp_path, "float16", share, normalized=False)
        store.begin()
        store.load("weight", rows.copy())
        given = gradient if store.on_host else flow.tensor(gradient)
        store.update(np.arange(20), lambda slots: given[slots], step, 0.1, step)
        return np.asarray(store.arrays()["weight"])

    first = rounded(0, (0, 20))
    np.testing.assert_array_equal(rounded(0, (0, 20)), first)
    assert (rounded(1, (0, 20)) != first).any()
    assert (rounded(0, (20, 40)) != first).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_center_of_zeros_has_numbers(kind, tmp_path):
    store = made(kind, tmp_path / "rows")
    weight = store.arrays()["weight"].copy()
    weight[3] = 0
    store.load("weight", weight)
    taken, rows = np.full((2, E), 7, "f"), np.array([3, 4])
    gradient = np.ones((2, E), "f")
    if not store.on_host:
        taken, gradient = flow.tensor(taken), flow.tensor(gradient)
    store.take(rows, taken, 0, 0.1)
    assert not np.asarray(taken)[0].any() and np.linalg.norm(np.asarray(taken)[1]) == pytest.approx(1, rel=1e-5)
    store.update(rows, lambda slots: gradient[slots], 0, 1e-9, 0)
    assert all(np.isfinite(np.asarray(array)).all() for array in store.arrays().values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_whole_shard_trains_as_its_rows_do_and_leaves_its_centers(kind, dtype, optimizer, tmp_path):
    """A slice takes other ways than a list of rows (views, blocks), and `update` leaves what `take` would give."""
    rule = make_optimizer(optimizer)
    by_rows, whole = (made(kind, tmp_path / name, rule, dtype) for name in ("rows", "whole"))
    for store in (by_rows, whole):
        store._block = 7
    rng, everything = np.random.default_rng(3), slice(0, ROWS)
    for step in range(3):
        gradient = rng.normal(size=(ROWS, E)).astype("f")
        centers, again = np.zeros((ROWS, E), "f"), np.zeros((ROWS, E), "f")
        if kind == "device":
            gradient, centers, again = (flow.tensor(array) for array in (gradient, centers, again))
        by_rows.update(np.arange(ROWS), gradient.__getitem__, step, 0.1, step)
        whole.update(everything, gradient.__getitem__, step, 0.1, step, centers)
        whole.take(everything, again, step + 1, 0.1)
        np.testing.assert_array_equal(np.asarray(centers), np.asarray(again))
        np.testing.assert_allclose(np.linalg.norm(np.asarray(centers), axis=1), 1, rtol=1e-6)
    for name, rows in by_rows.arrays().items():
        np.testing.assert_array_equal(whole.arrays()[name], rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stored", ["float32", "float16"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_of_either_type_are_taken_over(kind, stored, dtype, tmp_path):
    source = made("host", tmp_path, None, stored)
    list(train(source, 3, lr_of))
    target = made(kind, tmp_path / "rows", None, dtype)
    for name, rows in source.arrays().items():
        target.load(name, rows.copy())
    for name, rows in source.arrays().items():
        wide = [from_bfloat16(a) if a.dtype == np.uint16 else a.astype("f") for a in (rows, target.arrays()[name])]
        tolerance = 2e-2 if name == "momentum" and stored != dtype else 1e-3
        np.testing.assert_allclose(wide[1], wide[0], rtol=0 if stored == dtype else tolerance, atol=0)


@pytest.mark.parametrize("kind", ["host", "device"])
def test_another_phase_keeps_weights_and_the_slots_of_the_same_optimizer(kind, tmp_path):
    store = made(kind, tmp_path)
    list(train(store, 3, lr_of))
    before = {name: array.copy() for name, array in store.arrays().items()}
    store.change(RowShape((E,)), make_optimizer("sgd", momentum=0.5), True, 3)
    np.testing.assert_array_equal(store.arrays()["momentum"], before["momentum"])
    assert (store.arrays()["last_step"] == 2).all()
    store.change(RowShape((E + 1,), normalized=False), make_optimizer("adamw"), False, 3)
    np.testing.assert_array_equal(store.arrays()["weight"], np.pad(before["weight"], ((0, 0), (0, 1))))
    assert not store.arrays()["m"].any() and set(store.arrays()) == {"weight", "m", "v"}
    list(train(store, 1, lr_of))
    store.change(RowShape((E,)), make_optimizer("adamw"), False, 4)
    assert store.arrays()["weight"].shape == (ROWS, E) and not store.arrays()["m"].any()


@pytest.mark.parametrize("kind", ["host", "device"])
def test_parameters_of_another_phase_begin_at_their_first_value(kind, tmp_path):
    store = made(kind, tmp_path, shape=(E + 1,), normalized=False)  # with a bias
    list(train(store, 3, lr_of))
    vectors = store.arrays()["weight"][:, :E].copy()
    for row in (RowShape((E + 1,), True, (0.4,)), RowShape((E + 2,), True, (0.4, 0.1))):
        store.change(row, make_optimizer("sgd"), False, 3)
        weight = store.arrays()["weight"]
        np.testing.assert_array_equal(weight[:, :E], vectors)
        np.testing.assert_array_equal(weight[:, E:], np.tile(np.float32(row.parameters), (ROWS, 1)))
        assert not store.arrays()["momentum"].any()
    store.change(RowShape((E + 1,), False), make_optimizer("sgd"), False, 3)  # and back to a bias
    np.testing.assert_array_equal(store.arrays()["weight"], np.pad(vectors, ((0, 0), (0, 1))))


def test_rows_of_another_shape_are_refused():
    store = made("host", None)
    with pytest.raises(UserError, match=r"shape \(4, 6\), and \(40, 6\) is needed"):
        store.load("weight", np.ones((4, E), "f"))
