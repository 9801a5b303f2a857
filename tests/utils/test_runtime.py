"""What ranks exchange, on runtimes that say they have cards: host data must not go over them."""

import numpy as np
import pytest

from tests.ranks import run_ranks


@pytest.fixture(scope="module", params=[1, 2, 3])
def per_rank(request, tmp_path_factory):
    """What the exchanges gave, by rank."""
    folder = tmp_path_factory.mktemp("runtime")
    run_ranks(request.param, "tests/utils/runtime_worker.py", str(folder), timeout=90)
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(request.param)]


def test_sums(per_rank):
    expected = sum(rank["own"].astype(np.float64) for rank in per_rank)
    for rank in per_rank:
        np.testing.assert_array_equal(rank["sum"], expected)
        np.testing.assert_allclose(rank["float64"], sum(1 / 3 + r for r in range(len(per_rank))), rtol=1e-15)
        assert rank["float64"].tobytes() == per_rank[0]["float64"].tobytes()


def test_rows(per_rank):
    expected = np.repeat(np.arange(len(per_rank)), [2 + r for r in range(len(per_rank))])
    for rank in per_rank:
        np.testing.assert_array_equal(rank["rows"], np.repeat(expected[:, None], 4, axis=1))
        assert rank["labels"].dtype == np.int64
        np.testing.assert_array_equal(rank["labels"], [r * 2**40 + 1 for r in range(len(per_rank))])


def test_exchanges(per_rank):
    expected = np.stack([rank["own"] for rank in per_rank])
    for rank in per_rank:
        np.testing.assert_array_equal(rank["exchange"], expected)
        assert rank["flags"].dtype == bool
        np.testing.assert_array_equal(rank["flags"][:, 0], [r == 1 for r in range(len(per_rank))])


def test_batches(per_rank):
    for rank in per_rank:
        np.testing.assert_array_equal(rank["batch"][:, 0], np.repeat(np.arange(len(per_rank)), 2))
        assert rank["shares_memory"]
