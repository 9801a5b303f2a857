"""Stores that go on with the rows of a checkpoint, or begin with its weights."""

import numpy as np
import pytest

from optim import make_optimizer
from tests.heads.stores.made import make_store
from utils.errors import UserError

ROWS, E = 12, 4
KINDS = ["host", "device", "mmap"]


class Saved:
    """`SavedRows` after some steps."""

    step, folder = 7, None

    def __init__(self, **arrays):
        self._arrays = arrays

    def has(self, name):
        return name in self._arrays

    def read(self, name, start, stop):
        return self._arrays[name][start:stop].copy()


def rows(*shape):
    return np.random.default_rng(len(shape)).normal(size=(ROWS, *shape)).astype("f")


def store_of(kind, folder, shape=(E,), share=None, **settings):
    return make_store(kind, ROWS, shape, make_optimizer("sgd"), folder, share=share, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rank_takes_its_own_rows(kind, tmp_path):
    saved = {"weight": rows(E), "momentum": 2 * rows(E)}
    store = store_of(kind, tmp_path / "rows", share=(4, 9) if kind != "mmap" else None)
    assert store.restore(Saved(**saved)) is None
    for name, array in saved.items():
        np.testing.assert_array_equal(store.arrays()[name], array[store.start : store.stop])


@pytest.mark.parametrize("kind", KINDS)
def test_weights_to_begin_with_come_without_their_momentum(kind, tmp_path):
    store = store_of(kind, tmp_path / "rows")
    store.start_from(Saved(weight=rows(E), momentum=rows(E)))
    np.testing.assert_array_equal(store.arrays()["weight"], rows(E))
    assert not store.arrays()["momentum"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_corrects_skipped_steps_from_here_on_has_none_to_catch_up_with(kind, tmp_path):
    store = store_of(kind, tmp_path / "rows", correct_skipped=True)
    store.restore(Saved(weight=rows(E), momentum=rows(E)))
    assert (store.arrays()["last_step"] == Saved.step - 1).all()
    last = np.arange(ROWS, dtype=np.int32)
    store = store_of(kind, tmp_path / "others", correct_skipped=True)
    store.restore(Saved(weight=rows(E), momentum=rows(E), last_step=last))
    np.testing.assert_array_equal(store.arrays()["last_step"], last)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_that_are_new_begin_with_their_values_and_without_momentum(kind, tmp_path):
    store = store_of(kind, tmp_path / "rows", (E + 2,), parameters=(0.4, -0.3))
    store.restore(Saved(weight=rows(E), momentum=rows(E)))
    weight, momentum = (store.arrays()[name] for name in ("weight", "momentum"))
    np.testing.assert_array_equal(weight[:, :E], rows(E))
    np.testing.assert_array_equal(momentum[:, :E], rows(E))
    np.testing.assert_allclose(weight[:, E:], np.tile([0.4, -0.3], (ROWS, 1)), rtol=1e-6)
    assert not momentum[:, E:].any()


def test_another_number_of_centers_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"has 1 center\(s\) of each class, and this run has centers_per_class=3"):
        store_of("host", tmp_path, (3, E)).restore(Saved(weight=rows(E), momentum=rows(E)))
    with pytest.raises(UserError, match=r"has 3 center\(s\) of each class, and this run has centers_per_class=1"):
        store_of("host", tmp_path).restore(Saved(weight=rows(3, E), momentum=rows(3, E)))
