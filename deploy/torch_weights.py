"""Weights of InsightFace's arcface_torch, whose tensor names are ours.

torch runs in a process of its own, and may live in another environment: OneFlow 0.9 needs a Python and a NumPy that
newer releases of torch do without, and each brings CUDA libraries of its own.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from backbones import get_model
from utils.errors import UserError

_BRIDGE = Path(__file__).with_name("torch_bridge.py")
_PARALLEL_PREFIX = "module."  # which DistributedDataParallel puts before every name
_COUNTER = ".num_batches_tracked"  # of BatchNorm; files of old releases lack it, and nothing reads it


def read_torch_weights(path: Path, python: str = sys.executable) -> dict[str, np.ndarray]:
    """The tensors of a `backbone.pth`, floating ones as float32; python: an interpreter that has torch.

    Raises UserError where the file is missing, is not weights alone (nothing else is unpickled), or torch is missing.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    with TemporaryDirectory() as folder:
        tensors = Path(folder, "tensors.npz")
        _run_bridge(python, "load", path, tensors, about=path)
        with np.load(tensors, allow_pickle=False) as arrays:
            return {name.removeprefix(_PARALLEL_PREFIX): arrays[name] for name in arrays.files}


def write_torch_weights(path: Path, state: Mapping[str, np.ndarray], python: str = sys.executable) -> None:
    """Writes `state` as arcface_torch's `backbone.pth`, whole or not at all. Raises UserError as its parts do."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as folder:
            tensors = Path(folder, "tensors.npz")
            np.savez(tensors, **state)
            _run_bridge(python, "save", tensors, partial, about=path)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def fit_to_network(state: Mapping[str, np.ndarray], network: str) -> tuple[dict[str, np.ndarray], int]:
    """`state` in the network's own order, BatchNorm's counters added where they lack; and its embedding size.

    Raises UserError naming the tensors that are missing, unknown or of another shape.
    """
    names = get_model(network).state_dict()
    last = [name for name in names if name.endswith(".running_mean")][-1]  # every backbone ends in a BatchNorm
    size = state[last].size if last in state else 0
    if not size:
        raise UserError(f"these are not weights of {network}: {last} is missing")
    wanted = {name: tuple(tensor.shape) for name, tensor in get_model(network, size).state_dict().items()}
    counters = {name: np.zeros((), np.int64) for name in wanted if name.endswith(_COUNTER)}
    full = {**counters, **state}
    for what, wrong in {
        "missing": [name for name in wanted if name not in full],
        "unknown": [name for name in full if name not in wanted],
        "of another shape": [name for name in wanted if name in full and full[name].shape != wanted[name]],
    }.items():
        if wrong:
            names = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
            raise UserError(f"these are not weights of {network}: {names} {'is' if len(wrong) == 1 else 'are'} {what}")
    return {name: full[name] for name in wanted}, size


def _run_bridge(python: str, action: str, source: Path, target: Path, about: Path) -> None:
    try:
        done = subprocess.run(
            [python, str(_BRIDGE), action, str(source), str(target)], capture_output=True, text=True, check=False
        )
    except OSError:
        raise UserError(f"{python} is not a Python that can be run") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        if said == "torch is not installed":
            raise UserError(
                f"{python} has no torch; install it there, or name a Python that has it with --torch_python"
            )
        raise UserError(f"{about}: {said}")
