"""The training step of a case, as the project builds it."""

import oneflow as flow
from easydict import EasyDict
from oneflow import nn

from engine.graph import TrainGraph
from engine.model import Classifier
from engine.optim import build_sgd
from engine.schedule import Schedule
from heads.class_parallel import ClassParallelHead
from tests.layout.cases import EMBEDDING, IN, LayoutCase
from utils.runtime import Runtime


def build_step(case: LayoutCase, runtime: Runtime) -> TrainGraph:
    """A step, not compiled yet: (batch, IN) float32 S(0), (batch,) int64 S(0) -> what `TrainGraph` returns."""
    layers = [nn.Linear(IN, EMBEDDING)] + [nn.BatchNorm1d(EMBEDDING)] * case.batch_norm
    backbone = nn.Sequential(*layers).to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    # Without a store: the step knows nothing of where the class centers are kept.
    head = ClassParallelHead(
        None,
        case.sampler(runtime.rank),
        EMBEDDING,
        runtime.placement,
        case.margin(),
        case.filtering,
        case.half,
        case.model_parallel,
        flow.float16 if case.half and runtime.device == "cuda" else flow.float32,
    )
    cfg = EasyDict(clip_grad_norm=case.clip, lr=0.1, lr_backbone_scale=1.0, momentum=0.9, weight_decay=5e-4)
    optimizer = build_sgd(backbone, cfg)
    schedule = Schedule("polynomial", 0.1, 1000, warmup_steps=10).attach(optimizer)
    return TrainGraph(Classifier(backbone, head), optimizer, schedule, case.gradient_acc, case.half)
