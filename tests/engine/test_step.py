"""Both steps, compiled and eager, on 1, 2 and 3 ranks against a NumPy trainer written from the papers."""

import functools

import numpy as np
import pytest

from tests import reference
from tests.engine.cases import (
    CASES,
    CLASSES,
    EMBEDDING,
    LOGGED,
    SCHEDULE,
    STEPS,
    batches,
    cases_on,
    center_shape,
    initial_parameters,
    random_numbers,
    settings,
    teacher_rows,
)
from tests.losses.embedding_formulas import Center, with_gradient
from tests.losses.extra_margins import margin_of
from tests.ranks import run_ranks

RUNS = [(mode, ranks) for mode in ("graph", "eager") for ranks in (1, 2, 3)]
EACH_RUN = pytest.mark.parametrize(("mode", "ranks"), RUNS)
EACH_CASE = pytest.mark.parametrize(
    ("mode", "ranks", "case"), [(*run, case) for run in RUNS for case in cases_on(*run)]
)
TOGETHER = 20  # cases of one run of the ranks; all of them would take minutes on a busy machine
FORMULA = ("loss", "parameters", "filtering", "smoothing")
TRAINING = (
    *(
        "batch_norm",
        "sync_batchnorm",
        "gradient_acc",
        "clip",
        "optimizer",
        "optimizer_parameters",
        "head_optimizer",
        "multipliers",
    ),
    *("frozen", "decays_vectors", "weight"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(mode, ranks, case) -> what each rank saw; trained when first asked for, with some of `cases_on(mode, ranks)`."""

    @functools.cache
    def train(mode, ranks, group):
        out = tmp_path_factory.mktemp(mode) / "rank"
        cases = cases_on(mode, ranks)[group : group + TOGETHER]
        run_ranks(ranks, "tests/engine/step_worker.py", mode, str(out), *cases)
        return [np.load(f"{out}-{rank}.npz") for rank in range(ranks)]

    return lambda mode, ranks, case: train(mode, ranks, cases_on(mode, ranks).index(case) // TOGETHER * TOGETHER)


def numpy_training(case, ranks, sampled=None, seen=None):
    wanted = settings(case)
    given = batches(wanted["gradient_acc"], wanted["classes"], wanted["labels"])
    terms = {name: (share, functools.partial(with_gradient, name, **own)) for share, name, own in wanted["terms"]}
    for share, name, own in wanted["terms"]:
        if name == "center":
            terms[name] = share, Center(wanted["classes"], EMBEDDING, **own)
    distill = terms.pop("distillation", None)
    rates = [SCHEDULE.at(step) for step in range(STEPS)]
    return reference.train(
        initial_parameters(wanted["batch_norm"], wanted["classes"], center_shape(wanted), wanted["teacher"]),
        given,
        rates,
        random=random_numbers(given),
        terms=list(terms.values()),
        distill=distill,
        teacher=teacher_rows(given, wanted["teacher"]),
        seen=seen,
        ranks=ranks,
        sampled=sampled,
        state=margin_of(wanted["loss"], **wanted["parameters"]).state,
        **{key: wanted[key] for key in FORMULA + TRAINING},
    )


@EACH_CASE
def test_losses_and_weights_equal_numpy(trained, mode, ranks, case):
    seen, wanted = trained(mode, ranks, case), settings(case)
    shards = seen if wanted["model_parallel"] else seen[:1]
    drawn = [np.concatenate([f[f"{case}/classes/{step}"] for f in shards]) for step in range(STEPS)]
    given = batches(wanted["gradient_acc"], wanted["classes"], wanted["labels"])
    for classes, (_, labels, _) in zip(drawn, given, strict=True):
        assert np.isin(labels, classes).all() and len(np.unique(classes)) == len(classes)
    looked_at = []
    losses, weights, _, state = numpy_training(case, ranks, [np.sort(classes) for classes in drawn], looked_at)
    assert np.ptp(losses) > 0.01  # something was learned, so that equality means something
    np.testing.assert_allclose(seen[0][f"{case}/losses"], losses, rtol=1e-5)
    trained_weights = {name: seen[0][f"{case}/{name}"] for name in weights}
    trained_weights["head.weight"] = np.concatenate([f[f"{case}/head.weight"] for f in shards])
    for name, expected in weights.items():
        error = np.abs(trained_weights[name] - expected).max() / np.abs(expected).max()
        assert error < 1e-5, (name, error)
    for name, expected in state.items():
        np.testing.assert_allclose(seen[0][f"{case}/loss.{name}"], [expected], rtol=1e-5, atol=1e-6)
    right = [own[:, 0] > others.max(axis=1) for own, _, others, _ in looked_at]
    right = np.array(right).reshape(STEPS, -1).mean(axis=1)
    np.testing.assert_allclose(seen[0][f"{case}/accuracies"], right[list(LOGGED)])
    untouched = np.setdiff1d(np.arange(wanted["classes"]), np.concatenate(drawn))
    start = initial_parameters(wanted["batch_norm"], wanted["classes"], center_shape(wanted))["head.weight"]
    np.testing.assert_array_equal(trained_weights["head.weight"][untouched], start[untouched])


@pytest.mark.parametrize("case", [case for case in CASES if "center" in str(settings(case)["terms"])])
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_class_means_are_split_over_the_ranks(trained, mode, case):
    """That they are right shows in the losses."""
    rows = [f[f"{case}/means"] for f in trained(mode, 2, case)]
    assert sum(map(len, rows)) == settings(case)["classes"] and abs(len(rows[0]) - len(rows[1])) <= 1
    assert any(part.any() for part in rows)


@pytest.mark.parametrize(
    ("mode", "case"),
    [(mode, case) for mode in ("graph", "eager") for case in cases_on(mode, 2) if settings(case)["terms"]],
)
def test_a_sum_gives_each_loss_by_its_name(trained, mode, case):
    wanted, seen = settings(case), trained(mode, 2, case)[0]
    names = [name for _, name, _ in wanted["terms"]]
    named = {name: seen[f"{case}/named.{name}"] for name in ("loss", wanted["loss"], *names)}
    assert all(named[name].min() > 0.01 for name in names)
    expected = wanted["weight"] * named[wanted["loss"]]
    expected = expected + sum(share * named[name] for share, name, _ in wanted["terms"])
    np.testing.assert_allclose(named["loss"], expected, rtol=1e-6)


@EACH_CASE
def test_backbones_are_the_same_on_all_ranks(trained, mode, ranks, case):
    seen = trained(mode, ranks, case)
    for name in seen[0].files:
        if name.startswith((f"{case}/backbone", f"{case}/averaged", f"{case}/projection")):
            for other in seen[1:]:
                np.testing.assert_array_equal(other[name], seen[0][name], err_msg=name)


@EACH_RUN
def test_replicated_centers_are_the_same_on_all_ranks(trained, mode, ranks):
    seen = trained(mode, ranks, "replicated_all")
    for name in ("weight", "momentum"):
        for other in seen[1:]:
            mine, theirs = (f[f"replicated_all/head.{name}"] for f in (seen[0], other))
            np.testing.assert_array_equal(theirs, mine)


@EACH_RUN
def test_ranks_have_statistics_of_their_own_and_agree_on_their_mean(trained, mode, ranks):
    seen = trained(mode, ranks, "batch_norm")
    _, _, net, _ = numpy_training("batch_norm", ranks)
    for kind, expected in (("mean", net.mean), ("var", net.var)):
        own = np.array([f[f"batch_norm/own.1.running_{kind}"] for f in seen])
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-6)
        averaged = seen[0][f"batch_norm/averaged.1.running_{kind}"]
        np.testing.assert_allclose(averaged, expected.mean(axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", ["synchronized_norm", "synchronized_norm_all"])
@EACH_RUN
def test_synchronized_statistics_are_those_of_all_images(trained, mode, ranks, case):
    seen = trained(mode, ranks, case)
    _, _, net, _ = numpy_training(case, ranks)
    for kind, expected in (("mean", net.mean[0]), ("var", net.var[0])):
        for file in seen:
            np.testing.assert_array_equal(file[f"{case}/own.1.running_{kind}"], seen[0][f"{case}/own.1.running_{kind}"])
        np.testing.assert_allclose(seen[0][f"{case}/averaged.1.running_{kind}"], expected, rtol=1e-5, atol=1e-6)


@EACH_RUN
def test_centers_are_split_over_the_ranks(trained, mode, ranks):
    rows = [len(f["arcface/head.weight"]) for f in trained(mode, ranks, "arcface")]
    assert sum(rows) == CLASSES and max(rows) - min(rows) <= 1
    assert all(len(f["replicated/head.weight"]) == CLASSES for f in trained(mode, ranks, "replicated"))
