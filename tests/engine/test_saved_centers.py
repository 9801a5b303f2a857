"""Class centers in the files of a checkpoint's ranks."""

import numpy as np
import pytest

from engine.saved_centers import SavedCenters, read_shards
from optim import make_optimizer
from tests.heads.stores.made import make_store
from utils.errors import UserError
from utils.tensor_file import write_tensors


def shards(folder, *arrays):
    paths = [folder / f"rank-{number}" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        write_tensors(path, {"centers": array})
    return paths


def test_rows_of_any_ranks_are_found_in_the_files_of_others(tmp_path):
    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    paths = shards(tmp_path, rows[:3], rows[3:4], rows[4:])
    for start, stop in ((0, 10), (2, 5), (9, 10)):
        assert np.array_equal(read_shards(paths, "centers", start, stop), rows[start:stop])
    assert read_shards(paths, "others", 0, 10) is None


def test_missing_rows_are_not_made_up(tmp_path):
    paths = shards(tmp_path, np.ones((3, 2), np.float32), np.ones((3, 2), np.float32))
    with pytest.raises(UserError, match="is damaged: it holds 6 rows of centers, and 10 are needed"):
        read_shards(paths, "centers", 0, 10)


@pytest.mark.parametrize("other", [np.ones((7, 3), np.float32), np.ones((7, 2), np.float16)])
def test_files_that_do_not_fit_together_are_refused(tmp_path, other):
    paths = shards(tmp_path, np.ones((3, 2), np.float32), other)
    with pytest.raises(UserError, match="rank-1 is damaged: its centers is of another kind"):
        read_shards(paths, "centers", 0, 10)


def test_a_checkpoint_without_the_centers_that_are_read_is_damaged(tmp_path):
    saved = SavedCenters(tmp_path, shards(tmp_path, np.ones((3, 2), np.float32)), {"step": 1})
    assert not saved.has("weight")
    with pytest.raises(UserError, match="is damaged: none of its files holds the weight of class centers"):
        saved.read("weight", 0, 3)
    store = make_store("host", 3, (2,), make_optimizer("sgd"))
    with pytest.raises(UserError, match="none of its files holds the weight of class centers"):
        store.restore(saved)


def test_a_file_of_centers_that_is_gone_is_named(tmp_path):
    store = make_store("mmap", 3, (2,), make_optimizer("sgd"), tmp_path / "rows")
    store.begin()
    about = {"step": 1, "head_files": store.saving(1).about}
    (tmp_path / "rows/weight.npy").unlink()
    saved = SavedCenters(tmp_path / "checkpoints/step-00000001", [], about)
    with pytest.raises(UserError, match=r"step-00000001 are not whole: .*rows/weight.npy is missing"):
        saved.read("weight", 0, 3)
