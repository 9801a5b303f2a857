"""Steps whose class centres are sampled, compiled and eager, on 1, 2 and 3 ranks against NumPy."""

import numpy as np
import pytest

from engine.schedule import Schedule
from tests import reference
from tests.engine.cases import SCHEDULE, STEPS, batches, initial_parameters, sampled_cases_on, sampled_settings
from tests.engine.training import training

RUNS = [(mode, ranks) for mode in ("graph", "eager") for ranks in (1, 2, 3)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return training(tmp_path_factory, "tests/engine/sampled_worker.py", sampled_cases_on)


@pytest.mark.parametrize(("mode", "ranks", "case"), [(*run, case) for run in RUNS for case in sampled_cases_on(run[1])])
def test_losses_and_weights_equal_numpy(trained, mode, ranks, case):
    found = trained(mode, ranks)
    wanted = sampled_settings(case)
    given = batches(wanted["gradient_acc"], wanted["classes"], wanted["labels"])
    drawn = [np.concatenate([f[f"{case}/classes/{step}"] for f in found]) for step in range(STEPS)]
    for classes, (_, labels) in zip(drawn, given, strict=True):
        assert np.isin(labels, classes).all() and len(np.unique(classes)) == len(classes)
    rates = [Schedule(**SCHEDULE).at(step) for step in range(STEPS)]
    same = ("margins", "scale", "straight_through", "filtering", "batch_norm", "gradient_acc", "clip", "backbone_scale")
    losses, weights, _ = reference.train(
        initial_parameters(wanted["batch_norm"], wanted["classes"]), given, rates, ranks=ranks,
        sampled=[np.sort(classes) for classes in drawn], **{key: wanted[key] for key in same},
    )  # fmt: skip
    np.testing.assert_allclose(found[0][f"{case}/losses"], losses, rtol=1e-5)
    trained_weights = {name: found[0][f"{case}/{name}"] for name in weights if name != "head.weight"}
    trained_weights["head.weight"] = np.concatenate([f[f"{case}/head.weight"] for f in found])
    for name, expected in weights.items():
        error = np.abs(trained_weights[name] - expected).max() / np.abs(expected).max()
        assert error < 1e-5, (name, error)
    untouched = np.setdiff1d(np.arange(wanted["classes"]), np.concatenate(drawn))
    start = initial_parameters(wanted["batch_norm"], wanted["classes"])["head.weight"]
    np.testing.assert_array_equal(trained_weights["head.weight"][untouched], start[untouched])
