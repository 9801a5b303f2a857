"""Both steps, compiled and eager, on 1, 2 and 3 ranks against a NumPy trainer written from the papers."""

import numpy as np
import pytest

from engine.schedule import Schedule
from tests import reference
from tests.engine.cases import SCHEDULE, STEPS, batches, cases_on, initial_parameters, settings
from tests.engine.training import training

RUNS = [(mode, ranks) for mode in ("graph", "eager") for ranks in (1, 2, 3)]
EACH_RUN = pytest.mark.parametrize(("mode", "ranks"), RUNS)
EACH_CASE = pytest.mark.parametrize(
    ("mode", "ranks", "case"), [(*run, case) for run in RUNS for case in cases_on(run[1])]
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return training(tmp_path_factory, "tests/engine/step_worker.py", cases_on)


def numpy_training(case, ranks):
    wanted = settings(case)
    del wanted["model_parallel"], wanted["fused"]
    rates = [Schedule(**SCHEDULE).at(step) for step in range(STEPS)]
    parameters = initial_parameters(wanted["batch_norm"])
    return reference.train(parameters, batches(wanted["gradient_acc"]), rates, ranks=ranks, **wanted)


@EACH_CASE
def test_losses_and_weights_equal_numpy(trained, mode, ranks, case):
    found = trained(mode, ranks)
    losses, weights, _ = numpy_training(case, ranks)
    assert np.ptp(losses) > 0.01  # something was learnt, so that equality means something
    np.testing.assert_allclose(found[0][f"{case}/losses"], losses, rtol=1e-5)
    for name, expected in weights.items():
        error = np.abs(found[0][f"{case}/{name}"] - expected).max() / np.abs(expected).max()
        assert error < 1e-5, (name, error)


@EACH_CASE
def test_backbones_are_the_same_on_all_ranks(trained, mode, ranks, case):
    found = trained(mode, ranks)
    for name in found[0].files:
        if name.startswith((f"{case}/local.backbone", f"{case}/averaged")):
            for other in found[1:]:
                np.testing.assert_array_equal(other[name], found[0][name], err_msg=name)


@EACH_RUN
def test_ranks_have_statistics_of_their_own_and_agree_on_their_mean(trained, mode, ranks):
    found = trained(mode, ranks)
    _, _, net = numpy_training("batch_norm", ranks)
    for kind, expected in (("mean", net.mean), ("var", net.var)):
        own = np.array([f[f"batch_norm/own.1.running_{kind}"] for f in found])
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-6)
        averaged = found[0][f"batch_norm/averaged.1.running_{kind}"]
        np.testing.assert_allclose(averaged, expected.mean(axis=0), rtol=1e-4, atol=1e-6)


@EACH_RUN
def test_centres_are_split_over_the_ranks(trained, mode, ranks):
    found = trained(mode, ranks)
    rows = [len(f["arcface/local.head.weight"]) for f in found]
    assert sum(rows) == 23 and max(rows) - min(rows) <= 1
    assert all(len(f["replicated/local.head.weight"]) == 23 for f in found)
