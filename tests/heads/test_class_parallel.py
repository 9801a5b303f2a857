"""What the head is before any training, and embeddings that point where formulas end."""

import numpy as np
import oneflow as flow
import pytest

from heads.class_parallel import ClassParallelHead
from heads.sampling import ClassSampler
from heads.shards import initial_centers, shard_range
from losses import make_margin
from losses.combined import CosFace
from optim import make_optimizer
from tests import reference
from tests.heads.stores.made import make_store

PLACEMENT = flow.placement("cpu", ranks=[0])
SPLIT = flow.sbp.split(0)


@pytest.mark.parametrize(("classes", "ranks"), [(93431, 8), (1001, 3), (8, 8), (5, 8), (100, 1)])
def test_shards_cover_every_class_once(classes, ranks):
    ranges = [shard_range(classes, ranks, rank) for rank in range(ranks)]
    assert [start for start, _ in ranges] == [0] + [stop for _, stop in ranges[:-1]]
    assert ranges[-1][1] == classes
    sizes = [stop - start for start, stop in ranges]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] - sizes[-1] <= 1


def test_initial_centers_do_not_depend_on_the_shards():
    whole = initial_centers(0, 40000, (16,), seed=3)
    for ranks in (2, 3, 7):
        shards = [initial_centers(*shard_range(40000, ranks, rank), (16,), seed=3) for rank in range(ranks)]
        np.testing.assert_array_equal(np.concatenate(shards), whole)
    assert abs(whole.std() - 0.01) < 1e-4 and abs(whole.mean()) < 1e-4
    assert not np.array_equal(initial_centers(0, 10, (16,), seed=4), whole[:10])


def make_head(batch, centers, margin, kind="host", **settings):
    classes, *shape = centers.shape
    store = make_store(kind, classes, tuple(shape), make_optimizer("sgd", momentum=0.0, weight_decay=0.0))
    store.load("weight", centers.copy())
    sampler = ClassSampler(classes, 1, 0, 1.0, batch, seed=0)
    several = {"centers": shape[0]} if len(shape) > 1 else {}
    return ClassParallelHead(store, sampler, shape[-1], PLACEMENT, margin, **several, **settings)


def run_head(embedding, labels, centers, loss="arcface", parameters=(), **settings):
    """Loss, gradient by embedding, gradient by centers (as what a step of rate 1 takes away)."""
    head = make_head(len(labels), centers, make_margin(loss, **dict(parameters)), **settings)
    sample = head.sampler.draw(0, labels)
    head.place(sample, 0, 1.0)
    e = flow.tensor(embedding).to_global(placement=PLACEMENT, sbp=SPLIT).requires_grad_(True)
    objective, outputs = head(e, flow.tensor(labels).to_global(placement=PLACEMENT, sbp=SPLIT), {})
    objective.backward()
    # Read first: `update` writes into the step's results, which eager mode may still be computing from.
    value, gradient = outputs["losses"]["loss"].to_local().numpy(), e.grad.to_local().numpy()
    head.update(sample, outputs["results"], 0, 1.0, 0)
    return value, gradient, centers - head.store.arrays()["weight"]


@pytest.mark.parametrize(("loss", "margins"), [("arcface", {}), ("cosface", {}), ("combined", {"m2": 0.3, "m3": 0.2})])
@pytest.mark.parametrize("scale", [32.0, 64.0, 128.0])
@pytest.mark.parametrize("model_parallel", [True, False])
def test_equals_numpy(loss, margins, scale, model_parallel):
    rng = np.random.default_rng(0)
    embedding, centers = rng.normal(size=(9, 6)).astype("f"), rng.normal(size=(21, 6)).astype("f")
    labels = rng.integers(0, 21, 9)
    parameters = {**margins, "s": scale}
    results = run_head(embedding, labels, centers, loss, parameters, model_parallel=model_parallel)
    *expected, _ = reference.head_loss(embedding.astype("d"), centers.astype("d"), labels, loss, parameters)
    for a, b in zip(results, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * np.abs(b).max())


@pytest.mark.parametrize("kind", ["host", "device"])
def test_of_several_centers_the_nearest_counts_alone(kind):
    rng = np.random.default_rng(3)
    embedding, centers = (np.abs(rng.normal(size=shape)).astype("f") for shape in ((9, 6), (21, 6)))
    labels = rng.integers(0, 21, 9)
    three = np.stack([-2 * centers, centers, -centers], axis=1)  # against all embeddings but for the second
    *expected, by_one = run_head(embedding, labels, centers, kind=kind)
    *results, by_three = run_head(embedding, labels, three, kind=kind)
    for a, b in zip(results, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max())
    np.testing.assert_allclose(by_three[:, 1], by_one, rtol=1e-5, atol=1e-6 * np.abs(by_one).max())
    assert not by_three[:, [0, 2]].any() and np.abs(by_one).max() > 1e-3


@pytest.mark.parametrize("gradient", ["exact", "straight_through"])
@pytest.mark.parametrize("scale", [64.0, 128.0])
def test_embeddings_along_and_against_their_centers_equal_numpy(gradient, scale):
    """Where the margin's slope is infinite, and turns nothing."""
    rng = np.random.default_rng(1)
    centers = rng.normal(size=(21, 6)).astype("f")
    labels, parameters = np.arange(20), {"s": scale, "gradient": gradient}
    embedding = centers[:20] * np.where(labels % 2, 3.0, -2.0)[:, None].astype("f")
    found = run_head(embedding, labels, centers, "arcface", parameters)
    *expected, _ = reference.head_loss(embedding.astype("d"), centers.astype("d"), labels, "arcface", parameters)
    for a, b in zip(found, expected, strict=True):  # the angle of a rounded cosine is off by 5e-4, the logit by 0.03
        np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-2 * np.abs(b).max())


@pytest.mark.parametrize("scale", [64.0, 100.0, 128.0])
@pytest.mark.parametrize("model_parallel", [True, False])
def test_a_target_far_above_all_others_overflows_nothing(scale, model_parallel):
    """exp of more than 88 is infinite in float32: the largest logit may be the target's own."""
    centers = np.array([[1, 0, 0], [-1, 0.1, 0], [-1, 0, 0.1]], "f")
    embedding, labels = np.array([[2, 0.1, 0], [1, 0, 0.2]], "f"), np.array([0, 0])
    results = run_head(embedding, labels, centers, "arcface", {"s": scale}, model_parallel=model_parallel)
    *expected, _ = reference.head_loss(embedding.astype("d"), centers.astype("d"), labels, "arcface", {"s": scale})
    for a, b in zip(results, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_an_embedding_of_zeros_is_at_right_angles_to_all_centers():
    centers, labels = np.random.default_rng(2).normal(size=(5, 6)).astype("f"), np.array([0, 4])
    value, by_embedding, by_centers = run_head(np.zeros((2, 6), "f"), labels, centers)
    target = 64 * np.cos(np.pi / 2 + 0.5)
    np.testing.assert_allclose(value, np.log(4 + np.exp(target)) - target, rtol=1e-6)
    unit = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    pull = (unit.sum(axis=0) - unit[labels]) / 4 - np.cos(0.5) * unit[labels]  # the margin's slope is sin(pi / 2 + 0.5)
    np.testing.assert_allclose(by_embedding, 64 / 2 * pull / 1e-6, rtol=1e-4)  # the least norm that is divided by
    np.testing.assert_array_equal(by_centers, 0)


def test_filtered_cosines_give_no_gradient():
    centers = np.eye(3, 4, dtype="f")
    embedding = np.array([[0.1, 1, 0, 0.2]], "f")  # nearly class 1, labeled 0
    _, _, gradient = run_head(embedding, np.array([0]), centers, filtering=0.4)
    assert np.abs(gradient[1]).max() == 0 and np.abs(gradient[0]).max() > 0


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("loss", ["arcface", "magface"])  # the second has a slope by the norm
def test_an_embedding_that_is_no_number_shows_in_the_loss_and_not_in_the_centers(loss, half):
    rng = np.random.default_rng(4)
    embedding, centers = rng.normal(size=(4, 6)).astype("f"), rng.normal(size=(9, 6)).astype("f")
    embedding[2, 1] = np.inf
    value, by_embedding, by_centers = run_head(embedding, np.arange(4), centers, loss, half=half)
    assert np.isnan(value) and np.isnan(by_embedding[2]).all()
    left = np.array([0, 1, 3])
    _, *expected, _ = reference.head_loss(embedding[left].astype("d"), centers.astype("d"), left, loss)
    for a, b in zip((by_embedding[left], by_centers), expected, strict=True):  # of three rows here, of four there
        np.testing.assert_allclose(a, b * 3 / 4, rtol=2e-5, atol=2e-5 * np.abs(b).max())


class MeanNorm(CosFace):
    """Its state is the last step's mean norm."""

    def next_state(self, rows):
        return {"norm": rows.norm.mean(dim=0, keepdim=True)}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_embedding_that_is_no_number_leaves_the_state_as_it_was(bad):
    rng = np.random.default_rng(4)
    embedding, centers = rng.normal(size=(4, 6)).astype("f"), rng.normal(size=(9, 6)).astype("f")
    head, labels = make_head(4, centers, MeanNorm()), np.arange(4)
    head.place(head.sampler.draw(0, labels), 0, 1.0)
    before = {"norm": flow.full((1,), 0.5, placement=PLACEMENT, sbp=flow.sbp.broadcast)}

    def norm_after(embedding):
        given = (flow.tensor(array).to_global(placement=PLACEMENT, sbp=SPLIT) for array in (embedding, labels))
        return head(*given, before)[1]["state"]["norm"].to_local().numpy()

    np.testing.assert_allclose(norm_after(embedding), [np.linalg.norm(embedding, axis=1).mean()], rtol=1e-6)
    embedding[2, 1] = bad
    np.testing.assert_array_equal(norm_after(embedding), [0.5])
