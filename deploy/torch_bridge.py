"""Reads and writes PyTorch's files: a program of its own, for a Python that has torch and may have nothing of ours.

python torch_bridge.py load BACKBONE.pth TENSORS.npz
python torch_bridge.py save TENSORS.npz BACKBONE.pth
"""

import sys
import zipfile
from collections import OrderedDict

import numpy as np

_DEEPEST = 8  # dictionaries within each other
_NO_WEIGHTS = "optimizer"  # entries that begin so are as large as the weights, and never asked for


class Placeholder:
    """In place of any class that is not torch's: what is made of it is a dictionary, and does nothing."""

    def __new__(cls, *_, **__):
        return OrderedDict()  # of the few types that torch's unpickler fills


def load(source, target):
    """The tensors in a file as arrays, dictionaries within dictionaries as `outer.inner`; no class is imported."""
    import torch

    tensors = dict(_named(torch, _load(torch, source)))
    if not tensors:
        sys.exit("this is not a state_dict, and holds none: there are no tensors with names")
    arrays = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    np.savez(target, **{name: array.detach().contiguous().numpy() for name, array in arrays.items()})


def save(source, target):
    """Arrays as a state_dict."""
    import torch

    with np.load(source, allow_pickle=False) as arrays:
        torch.save(OrderedDict((name, torch.from_numpy(arrays[name])) for name in arrays.files), target)


def _load(torch, source):
    if _is_program(source):
        sys.exit("this is a TorchScript program; save its state_dict() in place of it")
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file raises nearly any type
        failed = error
    try:
        # Lightning's checkpoints hold settings as objects of its classes beside the weights.
        others = torch.serialization.get_unsafe_globals_in_checkpoint(source)
        with torch.serialization.safe_globals([(Placeholder, name) for name in others]):
            return torch.load(source, map_location="cpu", weights_only=True)
    except Exception:  # also a torch before 2.6, which has no such names
        reason = str(failed).splitlines()[0].partition(" This file can still be loaded")[0]  # by running its code
        sys.exit(f"this is not a file of weights alone: {reason}")


def _is_program(source):
    if not zipfile.is_zipfile(source):
        return False
    with zipfile.ZipFile(source) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _named(torch, value, prefix="", depth=0):
    """(name, tensor) of everything in nested dictionaries that is a tensor."""
    if not isinstance(value, dict) or depth > _DEEPEST:
        return
    for key, inner in value.items():
        if not isinstance(key, str) or key.startswith(_NO_WEIGHTS):
            continue
        if isinstance(inner, torch.Tensor):
            yield prefix + key, inner
        else:
            yield from _named(torch, inner, f"{prefix}{key}.", depth + 1)


if __name__ == "__main__":
    try:
        {"load": load, "save": save}[sys.argv[1]](*sys.argv[2:])
    except ImportError:
        sys.exit("torch is not installed")
