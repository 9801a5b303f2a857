"""Files of PyTorch.

torch runs in a process of its own, and may live in another environment: OneFlow 0.9 needs a Python and a NumPy that
newer releases of torch do without, and each brings CUDA libraries of its own.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from utils.errors import UserError
from utils.files import make_folder, new_file

_BRIDGE = Path(__file__).with_name("torch_bridge.py")


def read_torch_weights(path: Path, python: str = sys.executable) -> dict[str, np.ndarray]:
    """The tensors of a file of torch.save by name, floating ones as float32; those of a dictionary in it, such as
    `state_dict`, as `state_dict.conv1.weight`. python: an interpreter that has torch.

    Nothing but tensors is unpickled. Raises UserError if the file is missing or holds none, or torch is missing.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    with TemporaryDirectory() as folder:
        tensors = Path(folder, "tensors.npz")
        _run_bridge(python, "load", path, tensors, about=path)
        with np.load(tensors, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


def write_torch_weights(path: Path, state: Mapping[str, np.ndarray], python: str = sys.executable) -> None:
    """Writes `state` as arcface_torch's `backbone.pth`, whole or not at all. Raises UserError as its parts do."""
    try:
        make_folder(path.parent)
        with new_file(path) as unfinished, TemporaryDirectory() as folder:
            tensors = Path(folder, "tensors.npz")
            np.savez(tensors, **state)
            _run_bridge(python, "save", tensors, unfinished, about=path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None


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
