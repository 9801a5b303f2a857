"""The training step of a case, as the project builds it."""

import oneflow as flow
from oneflow import nn

from engine.graph import TrainGraph
from engine.model import Classifier
from heads.class_parallel import ClassParallelHead
from optim import make_optimizer
from optim.compiled import LearningRate
from optim.parameters import ParameterRules
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
    rules = ParameterRules(5e-4)
    rate = LearningRate(runtime.placement)
    model = Classifier(backbone, head)
    return TrainGraph(model, rate, make_optimizer(case.optimizer), rules, case.clip, case.gradient_acc, case.half)
