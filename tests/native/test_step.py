"""Training steps with the operators of native/: the numbers of OneFlow's layout, on 1, 2 and 3 ranks, bit by bit."""

import functools
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.native.step_worker import NETWORKS
from tests.ranks import run_ranks

ONE_RANK = "plain,native,again,recomputed"


@functools.cache
def trained(
    ranks: int, modes: str, networks: str = ",".join(NETWORKS)
) -> tuple[dict[str, np.ndarray], dict[str, dict]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.npz"
        printed = run_ranks(ranks, "tests/native/step_worker.py", str(path), networks, modes)
        with np.load(path) as results:
            return dict(results), json.loads(printed.strip().splitlines()[-1])


def states(results: dict[str, np.ndarray], network: str, mode: str) -> dict[str, np.ndarray]:
    start = f"{network}/{mode}/"
    return {name.removeprefix(start): value for name, value in results.items() if name.startswith(start)}


def difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest of all parameters and statistics, over the largest number of each."""
    assert one.keys() == other.keys()
    return max(float(np.abs(one[n] - other[n]).max() / max(np.abs(one[n]).max(), 0.1)) for n in one)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_layout_changes_no_number(network):
    results, facts = trained(1, ONE_RANK)
    plain, native = states(results, network, "plain"), states(results, network, "native")
    assert difference(plain, native) < 1e-4
    assert "conv2d" in facts[f"{network}/plain"]["kinds"] and "conv2d" not in facts[f"{network}/native"]["kinds"]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_bits_from_run_to_run(network):
    results, _ = trained(1, ONE_RANK)
    one, other = states(results, network, "native"), states(results, network, "again")
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("network", NETWORKS)
def test_activations_that_are_computed_again(network):
    results, _ = trained(1, ONE_RANK)
    assert difference(states(results, network, "native"), states(results, network, "recomputed")) < 1e-4


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_train_as_one(ranks):
    """If BatchNorm is synchronized."""
    alone, _ = trained(1, ONE_RANK)
    together, _ = trained(ranks, "plain,native,synchronized", "residual,vit")
    assert difference(states(alone, "residual", "native"), states(together, "residual", "synchronized")) < 1e-4


# Not vit on 3 ranks, whose BatchNorm would see two rows, and make much of what rounding leaves of their difference.
@pytest.mark.parametrize(("ranks", "network"), [(2, "residual"), (3, "residual"), (2, "vit")])
def test_the_layout_changes_no_number_on_ranks(ranks, network):
    results, facts = trained(ranks, "plain,native,synchronized", "residual,vit")
    assert difference(states(results, network, "plain"), states(results, network, "native")) < 1e-4
    plain, native = facts[f"{network}/plain"], facts[f"{network}/native"]
    assert network == "vit" or native["images"] == ["S0"]  # each rank's own
    assert native["sent"] == plain["sent"]  # of four axes: the weights' gradients, and no image


def test_layer_norm_is_one_operator():
    _, facts = trained(1, ONE_RANK)
    count = Counter(facts["vit/native"]["kinds"])
    assert count["layer_norm"] == count["layer_norm_grad"] == count["layer_norm_param_grad"] == 5
    assert "rsqrt" not in count and "layer_norm" not in facts["vit/plain"]["kinds"]


@pytest.mark.parametrize(("network", "most"), {"mbf_tiny": 3, "mobilenet_v2": 1}.items())
def test_images_stay_in_one_layout(network, most):
    """The first layer's images come as channels first, and what is flattened leaves so and comes back."""
    _, facts = trained(1, ONE_RANK)
    count = Counter(facts[f"{network}/native"]["kinds"])
    assert count["to_channels_first"] + count["to_channels_last"] <= most
    assert count["channels_last_conv2d"] and not {"conv2d", "prelu", "clip_by_scalar"} & set(count)
