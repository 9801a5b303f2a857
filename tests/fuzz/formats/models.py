"""Trained models and checkpoints."""

import json
from pathlib import Path

import numpy as np

from deploy.importing.read import MXNET, SAFETENSORS, kind_of, read_named
from deploy.weights import load_backbone, save_backbone
from engine.checkpoint import Checkpoint, save_checkpoint
from heads.stores.mapped import read_state
from tests.fuzz.format import Format
from tests.fuzz.judge import digest
from utils.tensor_file import open_tensors, read_tensors, write_tensors


class OneRank:
    """A runtime of one rank, without OneFlow."""

    rank, ranks, is_main = 0, 1, True

    def sum_over_ranks(self, array):
        return array


def _state() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"conv.weight": rng.random((4, 3), np.float32), "bn.running_mean": rng.random(4, np.float32)}


def make_model(folder: Path) -> None:
    save_backbone(folder, _state(), "r18", 8)


def make_mixed_model(folder: Path) -> None:
    """Weights that have to say themselves what they are: their description is of others."""
    save_backbone(folder / "others", {"conv.weight": np.ones(3, np.float32)}, "r50", 16)
    make_model(folder)
    (folder / "others/config.json").replace(folder / "config.json")


def read_model(folder: Path) -> str:
    state, about = load_backbone(folder)
    return digest(*(value for pair in sorted(state.items()) for value in pair), about["network"])


def make_checkpoint(folder: Path) -> None:
    state = _state()
    about = {"step": 3, "ranks": 1, "best": 0.5, "best_step": 0, "network": "r18", "embedding_size": 8}
    about |= {"num_classes": 6, "global_batch": 4, "steps_per_epoch": 5, "image_shape": [112, 112, 3], "phase": 0}
    about |= {"best_of": {"lfw": [0.5, 0]}, "sampler": "shuffle", "teacher": None, "config": "x = 1"}
    centers = {"head.weight": np.ones((6, 8), np.float32), "class_means": np.ones((6, 8), np.float32)}
    save_checkpoint(
        folder, about, state, {"updates": np.array([3])}, centers, {"bn.mean": state["bn.running_mean"]}, OneRank(), 3
    )


def read_checkpoint(folder: Path) -> str:
    checkpoint = Checkpoint(folder / "step-00000003", OneRank())
    backbone, state, centers = checkpoint.backbone(0, 1), checkpoint.state(), checkpoint.centers()
    return digest(*sorted(backbone), *backbone.values(), *state.values(), centers.read("weight", 0, 6))


def without_seals(folder: Path) -> None:
    """A description as releases of before wrote it, so that its fields are looked at one by one."""
    path = folder / "step-00000003/checkpoint.json"
    try:
        about = json.loads(path.read_bytes())
        about.pop("sha256", None)
        path.write_text(json.dumps(about))
    except (ValueError, AttributeError, TypeError, RecursionError):
        pass


def make_tensors(folder: Path) -> None:
    write_tensors(folder / "x.safetensors", _state(), {"a": "b"})


def read_safetensors(folder: Path) -> str:
    path = folder / "x.safetensors"
    kind = kind_of(path)
    if kind == SAFETENSORS:
        read_named(path, kind, "python")
    read_tensors(path)
    with open_tensors(path) as file:
        for name in file.keys():  # noqa: SIM118
            file.get_slice(name)[0:1]
    return ""


def make_params(folder: Path) -> None:
    import mxnet

    mxnet.nd.save(str(folder / "x.params"), {f"arg:{name}": mxnet.nd.array(array) for name, array in _state().items()})


def read_params(folder: Path) -> str:
    path = folder / "x.params"
    if kind_of(path) == MXNET:
        read_named(path, MXNET, "python")
    return ""


def make_state(folder: Path) -> None:
    np.save(folder / "state.npy", np.array([7, 3, 0]))


def read_mapped_state(folder: Path) -> str:
    read_state(folder)
    return ""


_CHECKPOINT = tuple(
    f"step-00000003/{name}"
    for name in (
        "checkpoint.json",
        "config.json",
        "backbone.safetensors",
        "optimizer.safetensors",
        "rank-00000.safetensors",
    )
)
FORMATS = (
    Format(
        "model", ("deploy.weights", "utils.tensor_file"), make_model, ("backbone.safetensors",), read_model, sealed=True
    ),
    Format("model_about", ("deploy.weights", "deploy.embedder"), make_model, ("config.json",), read_model),
    Format("model_mixed", ("deploy.weights",), make_mixed_model, ("backbone.safetensors",), read_model),
    Format("checkpoint", ("engine.checkpoint",), make_checkpoint, _CHECKPOINT, read_checkpoint, sealed=True),
    Format(
        "checkpoint_unsealed",
        ("engine.checkpoint_description", "engine.saved_centers"),
        make_checkpoint,
        _CHECKPOINT[:1],
        read_checkpoint,
        after=without_seals,
    ),
    Format(
        "safetensors",
        ("utils.tensor_file", "deploy.importing.read"),
        make_tensors,
        ("x.safetensors",),
        read_safetensors,
    ),
    Format("mxnet", ("deploy.importing.mxnet_file",), make_params, ("x.params",), read_params),
    Format("mapped", ("heads.stores.mapped",), make_state, ("state.npy",), read_mapped_state),
)
