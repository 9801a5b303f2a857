"""Class centers trained by the loops of native/, against those that NumPy trains. Run by test_centers.py."""

from itertools import product

import numpy as np
import pytest

from heads.stores.store import RowShape
from native.centers import CenterLoops, SgdSettings
from native.library import load_kernels
from optim import make_optimizer
from tests.heads.stores.made import lr_of, make_store, train
from tests.heads.stores.test_stores import SHAPES

OPTIMIZERS = {
    "sgd": make_optimizer("sgd", weight_decay=0.05),
    "sgdw": make_optimizer("sgdw", weight_decay=0.05),
    "without momentum": make_optimizer("sgd", momentum=0.0, weight_decay=0.05),
}
WIDE = {**SHAPES, "512": ((512,), True), "513": ((513,), True, (0.5,))}
CASES = list(product(("host", "mmap"), OPTIMIZERS, WIDE))
ROWS = 40

load_kernels()


@pytest.fixture
def used(monkeypatch) -> list[str]:
    """The loops that are called, by name."""
    called = []
    for name in ("take", "train"):
        loop = getattr(CenterLoops, name)
        monkeypatch.setattr(CenterLoops, name, lambda *args, n=name, f=loop, **rest: (called.append(n), f(*args))[1])
    return called


def made(kind, folder, optimizer, shape, native):
    store = make_store(
        kind, ROWS, optimizer=OPTIMIZERS[optimizer], folder=folder, native=native, **vars(RowShape(*WIDE[shape]))
    )
    store.begin()
    return store


def check_equal(store, expected):
    for name, values in expected.arrays().items():
        np.testing.assert_allclose(store.arrays()[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("kind", "optimizer", "shape"), CASES)
def test_samples(kind, optimizer, shape, tmp_path, used):
    stores = [made(kind, tmp_path / str(native), optimizer, shape, native) for native in (True, False)]
    steps = zip(*(train(store, 30, lr_of) for store in stores), strict=True)
    for (_, _, taken), (_, _, expected) in steps:
        np.testing.assert_allclose(taken, expected, rtol=1e-5, atol=1e-6)
    assert used == ["take", "train"] * 30
    check_equal(*stores)


@pytest.mark.parametrize(("optimizer", "shape"), product(OPTIMIZERS, WIDE))
def test_all_rows_and_the_centers_of_the_next_step(optimizer, shape, tmp_path, used):
    native, plain = (made("host", tmp_path / str(kind), optimizer, shape, kind) for kind in (True, False))
    rows, rng, given = slice(0, ROWS), np.random.default_rng(3), []
    for store in (native, plain):
        store.arrays()["weight"][5] = 0  # a center without a direction
        given.append(np.empty((ROWS, *store.row.shape), np.float32))
    for step in range(5):
        gradient = rng.normal(size=given[0].shape).astype(np.float32) * 1e-3
        gradient[5] = 0
        for store, centers in zip((native, plain), given, strict=True):
            store.update(rows, gradient.__getitem__, step, 0.1, step, centers)
        np.testing.assert_allclose(*given, rtol=1e-5, atol=1e-6)
    assert used == ["train"] * 5
    check_equal(native, plain)
    taken = np.empty_like(given[0])
    native.take(rows, taken, 5, 0.1)
    assert np.array_equal(taken, given[0])


@pytest.mark.parametrize("change", [{"dtype": "float16"}, {"correct_skipped": True}, {"optimizer": "adamw"}])
def test_numpy_does_the_rest(change, tmp_path, used):
    optimizer = make_optimizer(change.pop("optimizer", "sgd"))
    store = make_store("host", ROWS, (6,), optimizer, native=True, **change)
    store.begin()
    list(train(store, 2, lr_of))
    assert "train" not in used


def test_rows_of_another_shape(tmp_path, used):
    """A phase may change what a store holds."""
    stores = [made("host", tmp_path, "sgd", "center", native) for native in (True, False)]
    for store in stores:
        list(train(store, 2, lr_of))
        store.change(RowShape((8,), False), OPTIMIZERS["sgdw"], False, 2)
        list(train(store, 2, lr_of))
    assert used == ["take", "train"] * 4
    check_equal(*stores)


ARRAYS = {
    "rows of another type": {"rows": np.array([1, 2, 3], np.int32)},
    "a row that is not there": {"rows": np.array([1, 2, ROWS])},
    "a row below 0": {"rows": np.array([1, 2, -1])},
    "a slice beyond the end": {"rows": slice(ROWS - 2, ROWS + 1)},
    "a gradient in half": {"gradient": np.ones((3, 6), np.float16)},
    "a gradient of fewer rows": {"gradient": np.ones((2, 6), np.float32)},
    "columns first": {"weight": np.asfortranarray(np.ones((ROWS, 6), np.float32))},
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_do_not_fit_are_refused(case):
    arrays = {
        "weight": np.ones((ROWS, 6), np.float32), "momentum": np.zeros((ROWS, 6), np.float32),
        "rows": np.array([1, 2, 3]), "gradient": np.ones((3, 6), np.float32),
    }  # fmt: skip
    with pytest.raises(ValueError):
        CenterLoops(1, 6, 6).train(SgdSettings(0.1, 0.9, 0.0, False), **(arrays | ARRAYS[case]))
    assert (arrays["weight"] == 1).all()


def test_a_slice_may_begin_anywhere():
    weight, out = np.arange(1.0, 7.0, dtype=np.float32).reshape(6, 1), np.empty((2, 1), np.float32)
    CenterLoops(1, 1, 0).take(weight, slice(3, 5), out)
    assert out.ravel().tolist() == [4, 5]
