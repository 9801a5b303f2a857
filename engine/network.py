"""The backbone of a run."""

import operator
from pathlib import Path

import oneflow as flow
from oneflow import nn

from backbones import get_model
from backbones.channels_last import use_channels_last
from backbones.checkpointing import segments
from backbones.layer_norm import use_one_operator
from backbones.registry import same_network
from backbones.synchronized import synchronize_batch_norm
from data.stored_size import network_size
from deploy.weights import check_fits, check_training_input, load_backbone
from utils.errors import UserError
from utils.pixels import ImageShape
from utils.runtime import Runtime, write_local


def image_shape(cfg) -> ImageShape:
    """Of the images that the network of a config takes."""
    return ImageShape(*network_size(cfg), 1 if cfg.gray else 3)


def make_backbone(cfg) -> nn.Module:
    """The network of a config in training mode, local, with its layout and its kind of BatchNorm.

    Raises UserError if there is none, or it cannot have them.
    """
    backbone = get_model(cfg.network, cfg.embedding_size, cfg.dropout, image_shape(cfg)).train()
    if cfg.data_format == "NHWC":
        use_channels_last(backbone, cfg.network)
    if cfg.sync_batchnorm:
        synchronize_batch_norm(backbone)
    return backbone


def build_backbone(cfg, runtime: Runtime) -> nn.Module:
    """Weights follow from `cfg.seed`. Global, broadcast, for the compiled step; each rank's own for the eager one."""
    flow.manual_seed(cfg.seed)
    backbone = make_backbone(cfg)
    if runtime.native:
        use_one_operator(backbone)
    if cfg.graph:
        return backbone.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    return backbone.to(runtime.device)


def configured_segments(cfg, backbone: nn.Module) -> list[str]:
    """The names in a `Classifier` of the modules whose activations the backward pass computes again.

    Raises UserError if the backbone does not say what its blocks are.
    """
    kind = cfg.activation_checkpointing
    return segments(backbone, kind, "backbone.") if kind else []


def build_teacher(path: Path, runtime: Runtime, shape: ImageShape, graph: bool = True) -> tuple[nn.Module, int]:
    """A trained backbone to learn from, frozen, laid out as `build_backbone` does, and the length of its embeddings.

    shape: of the images that the student takes. Raises UserError if there is no model, it is damaged, or takes others.
    """
    state, about = load_backbone(path)
    check_training_input(about, f"teacher={path}", shape)
    teacher = get_model(about["network"], about["embedding_size"], image=shape).eval()
    if runtime.native:
        use_one_operator(teacher)
    own = teacher.state_dict()
    check_fits({name: tuple(t.shape) for name, t in own.items()}, state, f"the weights of teacher={path}")
    for name, tensor in own.items():
        write_local(tensor, state[name])
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    if graph:
        return teacher.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast), about["embedding_size"]
    return teacher.to(runtime.device), about["embedding_size"]


def load_pretrained(backbone: nn.Module, path: Path, cfg) -> None:
    """Takes the weights of a trained backbone. Raises UserError if they are of another network or embedding size."""
    state, about = load_backbone(path)
    for key, alike in (("network", same_network), ("embedding_size", operator.eq)):
        if not alike(about[key], cfg[key]):
            raise UserError(f"pretrained={path} has {key} {about[key]}, but this run has {cfg[key]}")
    check_training_input(about, f"pretrained={path}", image_shape(cfg))
    own = backbone.state_dict()
    check_fits({name: tuple(t.shape) for name, t in own.items()}, state, f"the weights of pretrained={path}")
    for name, tensor in own.items():
        write_local(tensor, state[name])
