"""Every registered loss against its formula in float64 NumPy, and its slopes against finite differences."""

from dataclasses import replace

import numpy as np
import oneflow as flow
import pytest

from losses import Penalty, Rows, list_losses
from tests.losses.extra_margins import NAMES, margin_of
from tests.losses.formulas import (
    FORMULAS,
    LEARNED,
    NORM_WITHOUT_GRADIENT,
    PARTIAL_SLOPES,
    RANDOM,
    STATISTICS,
    derivative,
    next_state,
    statistics,
)

# Parameters and state to try besides a loss's own.
MORE = {
    "combined": [
        ({"m1": 0.9, "m2": 0.4, "m3": 0.15}, {}),
        ({"m2": 0.3, "m3": 0.2, "gradient": "straight_through"}, {}),
    ],
    "arcface": [({"gradient": "straight_through"}, {})],
    "sphereface": [({"m": 4.0}, {})],
    "adaface": [({}, {"std": 5.0})],
    "curricularface": [({}, {"t": 0.4}), ({}, {"t": 1.0})],
    "adacos": [({}, {"s": 12.0})],
    "elastic_arcface": [({"plus": True, "sigma": 0.0175}, {})],
    "elastic_cosface": [({"plus": True, "sigma": 0.025}, {})],
    "npcface": [({"t": 1.3, "m": 0.4}, {})],
    "mv_am": [({"m": 0.1, "t": 1.5}, {})],
    "magface": [({"easy_margin": False}, {})],
    "hard_others": [({"m1": 0.4}, {"hardness": 0.3})],
}
UNBOUNDED = ("adacos", "softmax")
CASES = [(name, *more) for name in NAMES for more in [({}, {}), *MORE.get(name, [])]]
EACH_CASE = pytest.mark.parametrize(("name", "parameters", "state"), CASES)

# Where a branch of some formula ends: each is tried on both sides.
ENDS = [np.pi / 2, np.pi - 0.5, np.pi - 0.45, np.pi - 0.8, 0.401, np.pi - 0.401, np.arccos(0.999), np.arccos(-0.999)]
BESIDE = 1e-4
ANGLES = np.concatenate(
    [np.linspace(0.05, 3.09, 60), [2e-3, 1e-2, np.pi - 1e-2, np.pi - 2e-3]] + [[e - BESIDE, e + BESIDE] for e in ENDS]
)
NORMS = np.array([4e-4, 0.01, 9.99, 10.01, 60.0, 99.9, 100.1, 109.9, 110.1, 500.0])
AT_ENDS = np.array([10.0, 110.0])  # MagFace's limits: the values, for there is no slope


def rows_of(angles, norms):
    """All pairs of an angle and a norm: cosine (B, 1), norm (B, 1), others (B, C)."""
    theta, norm = (grid.reshape(-1, 1) for grid in np.meshgrid(angles, norms))
    spread = np.broadcast_to(np.linspace(-0.987, 0.983, 12), (len(theta), 12))
    beside = np.array([[-BESIDE, BESIDE]])
    hard = np.clip(np.cos(theta + 0.5) + beside, BESIDE - 1, 1 - BESIDE)  # CurricularFace's limit
    return np.cos(theta), norm, np.concatenate([spread, hard], axis=1)


def tensors(cosine, norm, state, more=(), dtype=flow.float64, learned=()):
    """more: statistics, random numbers and parameters, which `learned` names, as `more_of` gives them."""
    more = {name: flow.tensor(np.asarray(column), dtype=dtype) for name, column in dict(more).items()}
    random = more.pop("random", None)
    parameters = {name: more.pop(name) for name in learned}
    columns = (flow.tensor(np.asarray(column), dtype=dtype) for column in (cosine, norm))
    state = {name: flow.tensor([[value]], dtype=dtype) for name, value in state.items()}
    return Rows(*columns, state, tuple(more.values()), random, parameters)


def more_of(name, parameters, state, cosine, others):
    """What a formula finds in the state besides, (B, 1) each: sums over the others, random numbers, and what classes
    learn."""
    more, rng = statistics(name, cosine, others, state, **parameters), np.random.default_rng(3)
    more |= {"random": rng.normal(size=cosine.shape)} if name in RANDOM else {}
    return more | {key: rng.uniform(-0.4, 1.4, cosine.shape) for key in LEARNED.get(name, ())}


def made(name, parameters, state):
    margin = margin_of(name, **parameters)
    assert set(state) <= set(margin.state)
    assert (margin.has_statistics, margin.is_random) == (name in STATISTICS, name in RANDOM)
    assert set(margin.parameters) == set(LEARNED.get(name, ()))
    return margin, {**margin.state, **state}


@EACH_CASE
def test_values_are_the_formula(name, parameters, state):
    margin, state = made(name, parameters, state)
    cosine, norm, others = rows_of(ANGLES, np.concatenate([NORMS, AT_ENDS]))
    more = more_of(name, parameters, state, cosine, others)
    rows = tensors(cosine, norm, state, more, learned=margin.parameters)
    target, reshaped, penalty = FORMULAS[name](cosine, norm, others, {**state, **more}, **parameters)
    np.testing.assert_allclose(margin.target(rows).numpy(), target, atol=1e-12)
    if margin.reshapes_others:
        actual = margin.others(flow.tensor(others, dtype=flow.float64), rows).numpy()
        np.testing.assert_allclose(actual, reshaped, atol=1e-12)
    else:
        np.testing.assert_array_equal(reshaped, others)
    actual = margin.penalty(rows)
    np.testing.assert_allclose(actual.value.numpy() if actual else 0 * norm, penalty, rtol=1e-12)
    assert max(target.max(), reshaped.max()) * margin.scale <= margin.bound


@pytest.mark.parametrize("name", list_losses())
def test_the_bound_is_the_largest_logit(name):
    """Lower, and exp may overflow; higher, and a maximum is taken for nothing."""
    margin, state = made(name, {}, {"t": 1.0} if name == "curricularface" else {})
    cosine, norm, others = rows_of(np.append(ANGLES, [1e-6, np.pi - 1e-6]), NORMS)
    others = np.append(others, np.ones_like(cosine), axis=1)
    more = more_of(name, {}, state, cosine, others)
    target, reshaped, _ = FORMULAS[name](cosine, norm, others, {**state, **more})
    if name in UNBOUNDED:
        assert margin.bound == np.inf
    else:
        np.testing.assert_allclose(max(target.max(), reshaped.max()) * margin.scale, margin.bound, rtol=1e-3)


@EACH_CASE
def test_statistics_are_the_formula(name, parameters, state):
    margin, state = made(name, parameters, state)
    cosine, norm, others = rows_of(ANGLES, NORMS)
    actual = margin.statistics(flow.tensor(others, dtype=flow.float64), tensors(cosine, norm, state))
    expected = statistics(name, cosine, others, state, **parameters)
    for part, values in zip(actual, expected.values(), strict=True):
        np.testing.assert_allclose(part.numpy().sum(axis=1, keepdims=True), values, rtol=1e-12, atol=1e-12)


@EACH_CASE
def test_the_next_state_is_the_formula(name, parameters, state):
    margin, state = made(name, parameters, state)
    cosine, norm, others = rows_of(ANGLES, NORMS)
    sums = statistics(name, cosine, others, state, **parameters)
    actual = margin.next_state(tensors(cosine, norm, state, sums))
    expected = next_state(name, cosine, norm, {**state, **sums}, **parameters)
    assert set(actual) == set(expected) == set(margin.state)
    for key, value in actual.items():
        assert value.shape == (1, 1)
        np.testing.assert_allclose(value.numpy(), expected[key], rtol=1e-12)
    one = {name: column[:1] for name, column in sums.items()}
    for value in margin.next_state(tensors(cosine[:1], norm[:1], state, one)).values():  # of one image
        assert np.isfinite(value.numpy()).all()


@EACH_CASE
def test_slopes_are_those_of_the_formula(name, parameters, state):
    margin, state = made(name, parameters, state)
    cosine, norm, others = rows_of(ANGLES, NORMS)
    more = more_of(name, parameters, state, cosine, others)  # constants: no slope goes through them
    rows, theta = tensors(cosine, norm, state, more, learned=margin.parameters), np.arccos(cosine)

    def formula(part, cosine=cosine, norm=norm, others=others):
        return FORMULAS[name](cosine, norm, others, {**state, **more}, **parameters)[part]

    if name in PARTIAL_SLOPES:
        for actual, expected in zip(
            (margin.slope(rows), margin.others_slope(flow.tensor(others, dtype=flow.float64), rows)),
            PARTIAL_SLOPES[name](cosine, others, **parameters),
            strict=True,
        ):
            np.testing.assert_allclose(actual.numpy(), expected, atol=1e-12)
        return
    slope = derivative(lambda t: formula(0, cosine=np.cos(t)), theta, 1e-7) / -np.sin(theta)
    if parameters.get("gradient") == "straight_through":
        slope = np.ones_like(cosine)
    np.testing.assert_allclose(margin.slope(rows).numpy(), slope, rtol=1e-5, atol=1e-5)

    actual, by_norm = margin.norm_slope(rows), derivative(lambda n: formula(0, norm=n), norm)
    if name in NORM_WITHOUT_GRADIENT:
        assert actual is None and np.abs(by_norm).max() > 1e-4
    else:
        np.testing.assert_allclose(0 * norm if actual is None else actual.numpy(), by_norm, atol=1e-8)

    if margin.reshapes_others:
        actual = margin.others_slope(flow.tensor(others, dtype=flow.float64), rows).numpy()
        np.testing.assert_allclose(actual, derivative(lambda c: formula(1, others=c), others), atol=1e-8)

    penalty, by_norm = margin.penalty(rows) or Penalty(), derivative(lambda n: formula(2, norm=n), norm)
    actual = 0 * norm if penalty.by_norm is None else penalty.by_norm.numpy()
    np.testing.assert_allclose(actual, by_norm, rtol=1e-7, atol=1e-8)

    slopes = margin.parameter_slopes(rows)
    assert set(slopes) == set(margin.parameters) >= set(penalty.by_parameters)
    for parameter in margin.parameters:

        def by_parameter(values, parameter=parameter):
            return FORMULAS[name](cosine, norm, others, {**state, **more, parameter: values}, **parameters)

        for part, actual in ((0, slopes[parameter].numpy()), (2, penalty.by_parameters[parameter].numpy())):
            expected = derivative(lambda values, part=part: by_parameter(values)[part], more[parameter])
            np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-8)


@EACH_CASE
def test_parallel_and_opposite_vectors_give_numbers(name, parameters, state):
    margin, state = made(name, parameters, state)
    ends = [1, -1, 1 + 1e-6, -1 - 1e-6, 1 - 1e-7, -1 + 1e-7]  # rounding overshoots the ends
    cosine, norm = (grid.reshape(-1, 1) for grid in np.meshgrid(ends, [0.0, *NORMS, *AT_ENDS]))
    others = flow.tensor(np.broadcast_to(ends, (len(cosine), len(ends))).copy(), dtype=flow.float32)
    more = {"random": np.full_like(cosine, 3.0)} if margin.is_random else {}
    more |= {key: np.full_like(cosine, 0.7) for key in margin.parameters}
    rows = tensors(cosine, norm, state, more, flow.float32, margin.parameters)
    sums = (part.sum(dim=1, keepdim=True) for part in margin.statistics(others, rows))
    rows = replace(rows, statistics=tuple(sums))
    penalty = margin.penalty(rows) or Penalty()
    values = [margin.target(rows), margin.slope(rows), margin.norm_slope(rows), penalty.value, penalty.by_norm]
    values += [*margin.parameter_slopes(rows).values(), *penalty.by_parameters.values()]
    if margin.reshapes_others:
        values += [margin.others(others, rows), margin.others_slope(others, rows)]
    values += margin.next_state(rows).values()
    for value in values:
        assert value is None or np.isfinite(value.numpy()).all()


@pytest.mark.parametrize("classes", [2, 15, 1000])
def test_adacos_begins_with_the_scale_of_the_paper(classes):
    """sqrt(2) log(C - 1), whatever the cosines are; nothing else scales them."""
    margin = margin_of("adacos")
    assert margin.scale == 1
    rng = np.random.default_rng(0)
    cosine, others = rng.uniform(0.8, 1, (7, 1)), rng.uniform(-1, 1, (7, classes - 1))
    sums = statistics("adacos", cosine, others, margin.state)
    first = margin.next_state(tensors(cosine, 0 * cosine + 20, margin.state, sums))["s"]
    np.testing.assert_allclose(first.numpy(), [[np.sqrt(2) * np.log(classes - 1)]], rtol=1e-12, atol=1e-12)
