"""Reads and writes PyTorch's files: a program of its own, for a Python that has torch and may have nothing of ours.

python torch_bridge.py load BACKBONE.pth TENSORS.npz
python torch_bridge.py save TENSORS.npz BACKBONE.pth
"""

import sys
from collections import OrderedDict

import numpy as np


def load(source, target):
    """A state_dict, alone in its file, as arrays; nothing but tensors is unpickled."""
    import torch

    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file raises nearly any type
        sys.exit(f"this is not a file of weights alone: {str(error).splitlines()[0]}")
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        sys.exit("this is not a state_dict, named tensors and nothing else")
    arrays = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    np.savez(target, **{name: array.contiguous().numpy() for name, array in arrays.items()})


def save(source, target):
    """Arrays as a state_dict."""
    import torch

    with np.load(source, allow_pickle=False) as arrays:
        torch.save(OrderedDict((name, torch.from_numpy(arrays[name])) for name in arrays.files), target)


if __name__ == "__main__":
    try:
        {"load": load, "save": save}[sys.argv[1]](*sys.argv[2:])
    except ImportError:
        sys.exit("torch is not installed")
