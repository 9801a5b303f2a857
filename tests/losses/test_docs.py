"""The losses of docs/losses.md are registered from the page and train, as NumPy does by their formulas."""

import numpy as np
import pytest

from heads.sampling import ClassSampler
from heads.shards import shard_range
from tests import reference
from tests.engine.cases import BATCH, CLASSES, SCHEDULE, batches, initial_parameters
from tests.losses import formulas
from tests.ranks import run_ranks

HEADS = {"full": (CLASSES, 1.0), "sampled": (101, 0.3), "summed": (CLASSES, 1.0)}
MODES = ["graph", "eager"]


def example(cosine, norm, others, state, m=0.3, w=0.2):
    return cosine - m, others + w * np.maximum(others - state["usual"], 0), w * (norm - 1) ** 2


def example_state(cosine, norm, state):
    return {"usual": 0.9 * state["usual"] + 0.1 * cosine.mean()}


def short(embedding, labels):
    return (embedding**2).sum(axis=1).mean(), 2 * embedding / len(embedding)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    runs = {}
    for mode in MODES:
        out = tmp_path_factory.mktemp(mode) / "rank"
        run_ranks(2, "tests/losses/docs_worker.py", mode, str(out))
        runs[mode] = np.load(f"{out}-0.npz")
    return runs


def drawn(classes, rate, step, labels):
    """The classes of a step of two ranks, in order."""
    shares = []
    for rank in range(2):
        sample = ClassSampler(classes, 2, rank, rate, BATCH, seed=5).draw(step, labels)
        start, stop = shard_range(classes, 2, rank)
        shares.append(np.arange(start, stop)[sample.rows])
    return np.sort(np.concatenate(shares))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("mode", MODES)
def test_the_loss_of_the_page_trains_as_its_formula_says(trained, monkeypatch, mode, head):
    monkeypatch.setitem(formulas.FORMULAS, "example", example)
    monkeypatch.setitem(formulas.NEXT_STATES, "example", example_state)
    (classes, rate), seen = HEADS[head], trained[mode]
    given = batches(1, classes)[:2]
    losses, _, _, state = reference.train(
        initial_parameters(False, classes),
        given,
        [SCHEDULE.at(step) for step in range(2)],
        ranks=2,
        sampled=[drawn(classes, rate, step, labels) for step, (_, labels, _) in enumerate(given)],
        loss="example",
        state={"usual": 0.0},
        terms=[(0.1, short)] if head == "summed" else [],
    )
    parts = {part: np.array([seen[f"{head}/{part}/{i}"] for i in (0, 1)]) for part in ("loss", "softmax", "penalty")}
    np.testing.assert_allclose(parts["loss"], losses, rtol=1e-5)
    short_part = np.array([seen["summed/short/0"], seen["summed/short/1"]]) * (0.1 if head == "summed" else 0.0)
    np.testing.assert_allclose(parts["softmax"] + parts["penalty"] + short_part, parts["loss"], rtol=1e-6)
    assert (parts["penalty"] > 0.01).all()
    np.testing.assert_allclose(seen[f"{head}/usual/1"], [state["usual"]], rtol=1e-5, atol=1e-7)
