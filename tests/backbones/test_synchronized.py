"""Synchronized BatchNorm of convolutions: ranks train as one, and only sums of channels go between them.

tests/engine/test_step.py has it against NumPy, tests/cuda as it is compiled for CUDA.
"""

import functools

import numpy as np
import pytest
from oneflow import nn
from oneflow.core.job.job_pb2 import Job

from backbones import get_model
from backbones.synchronized import synchronize_batch_norm
from tests.layout.job import crossings, read_operators
from tests.ranks import run_ranks


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(how, ranks) -> what each rank saw, and the job of the compiled step."""

    @functools.cache
    def train(how, ranks):
        out = tmp_path_factory.mktemp("synchronized") / "rank"
        run_ranks(ranks, "tests/backbones/synchronized_worker.py", how, str(out))
        job = Job()
        job.ParseFromString(out.with_suffix(".job").read_bytes())
        return [np.load(f"{out}-{rank}.npz") for rank in range(ranks)], job

    return train


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_train_as_one_rank_with_all_images(trained, ranks):
    (alone,), _ = trained("plain", 1)
    seen, _ = trained("synchronized", ranks)
    assert np.ptp(alone["compiled-1/losses"]) > 0.01
    for name in alone.files:
        for own in seen:
            if not name.endswith("num_batches_tracked"):
                error = np.abs(own[name] - alone[name]).max() / np.abs(alone[name]).max()
                assert error < 1e-5, (name, error)
            np.testing.assert_array_equal(own[name], seen[0][name], err_msg=name)


def test_without_it_they_do_not(trained):
    (alone,), _ = trained("plain", 1)
    (first, second), _ = trained("plain", 2)
    for case in ("compiled-1", "eager-1"):
        assert np.abs(first[f"{case}/losses"] - alone[f"{case}/losses"]).max() > 1e-3
        assert np.abs(first[f"{case}/1.running_mean"] - second[f"{case}/1.running_mean"]).max() > 1e-3


def test_sums_of_channels_go_between_the_ranks(trained):
    _, job = trained("synchronized", 2)
    sent = [c.given for c in crossings(read_operators(job)) if c.given.tensor.startswith("model.backbone.")]
    norms = {f"model.backbone.{number}-": (channels,) for number, channels in ((1, 4), (4, 3), (7, 5))}
    for beginning, shape in norms.items():
        own = [end for end in sent if end.tensor.startswith(beginning)]
        assert [(end.shape, end.sbp, end.dtype) for end in own] == [(shape, "P", "float")] * 4
    # and no activations: what else goes are gradients of weights
    assert all(end.shape[0] != 12 and end.sbp == "P" for end in sent)


def test_networks_keep_their_names_and_modules():
    plain, network = get_model("mbf_tiny", 16), get_model("mbf_tiny", 16)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
    assert synchronize_batch_norm(network) == len(norms) == 4
    assert synchronize_batch_norm(network) == 0  # they are already
    assert list(network.state_dict()) == list(plain.state_dict())
