"""Training on two nodes: the same as on one, and what ends one rank ends all, with its reason on both."""

import os
import signal
import subprocess
import time

import numpy as np
import pytest

from tests.nodes import two_nodes
from tests.ranks import RANK, run_ranks
from utils.tensor_file import read_tensors


@pytest.fixture
def nodes():
    with two_nodes() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """8 steps of a global batch of 8 on two ranks."""
    path = tmp_path_factory.mktemp("two_nodes") / "synthetic.py"
    path.write_text(
        "from easydict import EasyDict as edict\n"
        "config = edict()\n"
        "config.network, config.embedding_size = 'mbf_tiny', 16\n"
        "config.synthetic, config.num_classes, config.num_image, config.batch_size = True, 41, 64, 4\n"
        "config.num_epoch, config.lr, config.frequent = 1, 0.02, 1\n"
        "config.device, config.tensorboard = 'cpu', False\n"
    )
    return path


def ends(processes, seconds):
    """[(exit status, printed)] of both; fails where one lasts longer."""
    deadline = time.monotonic() + seconds
    printed = [process.communicate(timeout=max(0.1, deadline - time.monotonic()))[0] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, printed, strict=True)]


@pytest.mark.parametrize("mode", ["--graph", "--eager"])
def test_two_nodes_train_as_one_does(nodes, synthetic, tmp_path, mode):
    outcomes = ends(nodes.launch_both(RANK, "train.py", str(synthetic), mode, f"output={tmp_path / 'two'}"), 120)
    assert [status for status, _ in outcomes] == [0, 0], outcomes
    run_ranks(2, "train.py", str(synthetic), mode, f"output={tmp_path / 'one'}")
    one, two = (tmp_path / name / "checkpoints" / "step-00000008" for name in ("one", "two"))
    for file in one.glob("*.safetensors"):
        expected, actual = read_tensors(file), read_tensors(two / file.name)
        assert expected.keys() == actual.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(actual[name], array, err_msg=f"{file.name} {name}")


@pytest.mark.parametrize("node", [0, 1])
def test_kill_9_of_a_rank_ends_both_nodes_with_the_reason(nodes, synthetic, tmp_path, node):
    processes = nodes.launch_both(RANK, "train.py", str(synthetic), "num_epoch=5000", f"output={tmp_path}")
    log = tmp_path / "training.log"
    deadline = time.monotonic() + 60
    while not (log.exists() and "Global Step: 3/" in log.read_text()):
        assert time.monotonic() < deadline and processes[0].poll() is None, "the run did not begin"
        time.sleep(0.1)
    (rank,) = subprocess.run(["pgrep", "-P", str(processes[node].pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(rank), signal.SIGKILL)
    outcomes = ends(processes, 60)
    assert [status for status, _ in outcomes] == [128 + signal.SIGKILL] * 2
    assert f"\nrank {node} was ended by SIGKILL" in "\n" + outcomes[node][1]
    assert f"\nnode {node}: rank {node} was ended by SIGKILL" in "\n" + outcomes[1 - node][1]


def test_a_python_error_of_a_rank_ends_both_nodes_with_its_sentence(nodes, synthetic, tmp_path):
    worker = "tests/end_to_end/breaking_worker.py"
    processes = nodes.launch_both(RANK, worker, str(synthetic), f"output={tmp_path}", BREAKING_RANK="1")
    outcomes = ends(processes, 60)
    assert [status for status, _ in outcomes] == [1, 1]
    assert outcomes[0][1].splitlines()[-1] == "node 1: rank 1 failed (IndexError: batch 4 out of range)."
    assert outcomes[1][1].splitlines()[-1] == "rank 1 failed (IndexError: batch 4 out of range)."
