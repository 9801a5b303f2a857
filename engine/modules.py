"""What of a run has weights, besides the class centers."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from oneflow import nn

from backbones.channels_last import use_channels_last
from deploy.teacher import find_teacher, teacher_digest
from engine.checkpoint import Checkpoint
from engine.network import build_backbone, build_teacher, image_shape
from engine.projection import build_projection, load_projection, projection_state
from utils.config.phases import distills
from utils.config.rules import teacher_in_step
from utils.runtime import Runtime, write_local


@dataclass(frozen=True)
class Modules:
    """backbone: what is trained. projection: to a teacher's length, if that is another one; teacher: if it is a network
    of ours, frozen. All live where `build_backbone` says. taught_by: `teacher_digest` of a run that distills.
    """

    backbone: nn.Module
    projection: nn.Module | None = None
    teacher: nn.Module | None = None
    taught_by: str | None = None

    def restore(self, checkpoint: Checkpoint, state: dict[str, np.ndarray], runtime: Runtime) -> None:
        """Takes the weights of a checkpoint; state: its `Checkpoint.state`. Raises UserError if they do not fit."""
        weights = checkpoint.backbone(runtime.rank, runtime.ranks)
        for name, tensor in self.backbone.state_dict().items():
            write_local(tensor, weights[name])
        load_projection(self.projection, state, checkpoint.folder)

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps of them besides the backbone, equal on all ranks."""
        return projection_state(self.projection)


def build_modules(cfg, runtime: Runtime, loaders: Iterable) -> Modules:
    """Those of a run. loaders: of its phases, which may bring a teacher's embeddings. May raise UserError."""
    backbone, teacher = build_backbone(cfg, runtime), None
    sizes = [loader.teacher_size for loader in loaders if loader.teacher_size]
    if distills(cfg) and teacher_in_step(cfg):
        teacher, size = build_teacher(find_teacher(cfg.teacher), runtime, image_shape(cfg), cfg.graph)
        if cfg.data_format == "NHWC":
            use_channels_last(teacher, f"teacher={cfg.teacher}")
        sizes = [size]
    projection = build_projection(cfg, sizes[0], runtime) if sizes else None
    taught_by = teacher_digest(find_teacher(cfg.teacher)) if distills(cfg) and cfg.teacher else None
    return Modules(backbone, projection, teacher, taught_by)
