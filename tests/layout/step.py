"""The training step of a case, as the project builds it."""

import oneflow as flow
from easydict import EasyDict
from oneflow import nn

from engine.graph import TrainGraph
from engine.model import Classifier
from engine.optim import build_sgd
from engine.schedule import Schedule
from heads.class_parallel import ClassParallelHead
from heads.sampled import SampledHead
from tests.layout.cases import CLASSES, EMBEDDING, IN, LayoutCase
from utils.runtime import Runtime


def build_step(case: LayoutCase, runtime: Runtime) -> TrainGraph:
    """A step, not compiled yet: (batch, IN) float32 S(0), (batch,) int64 S(0) -> what `TrainGraph` returns."""
    layers = [nn.Linear(IN, EMBEDDING)] + [nn.BatchNorm1d(EMBEDDING)] * case.batch_norm
    backbone = nn.Sequential(*layers).to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    head = build_head(case, runtime)
    cfg = EasyDict(clip_grad_norm=case.clip, lr=0.1, lr_backbone_scale=1.0, momentum=0.9, weight_decay=5e-4)
    optimizer = build_sgd(backbone, head, cfg)
    schedule = Schedule("polynomial", 0.1, 1000, warmup_steps=10).attach(optimizer)
    return TrainGraph(Classifier(backbone, head), optimizer, schedule, case.gradient_acc, case.half)


def build_head(case: LayoutCase, runtime: Runtime) -> nn.Module:
    """Without a store: the step knows nothing of where the class centers are kept."""
    if case.head == "full":
        full = {"model_parallel": case.model_parallel, "fused": runtime.device == "cuda"}
        return ClassParallelHead(CLASSES, EMBEDDING, runtime.placement, **full, **case.formula)
    sampler = case.sampler(runtime.rank)
    return SampledHead(None, sampler, EMBEDDING, runtime.placement, half=case.half, **case.formula)
