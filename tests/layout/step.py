"""The training step of a case, as the project builds it."""

from collections.abc import Callable

import oneflow as flow
from oneflow import nn

from backbones.synchronized import synchronize_batch_norm
from engine.graph import TrainGraph
from engine.model import Classifier
from heads.softmax import ClassSoftmax
from losses import TotalLoss, make_embedding_loss
from losses.total import Term
from optim import make_optimizer
from optim.compiled import LearningRate
from optim.parameters import ParameterRules
from tests.layout.cases import EMBEDDING, IN, LayoutCase
from utils.runtime import Runtime


def step_inputs(case: LayoutCase, rows: int, labels: flow.Tensor, made: Callable) -> dict[str, flow.Tensor]:
    """What the losses of a case need besides images and labels; made: a shape (rows, n) -> a float32 tensor S(0)."""
    inputs = {"classes": labels, "records": labels} if case.terms else {}
    widths = {
        "random": int(case.margin().is_random),
        "means": EMBEDDING * ("center" in case.terms),
        "teacher": 0 if case.in_step else case.teacher or 0,
    }
    return inputs | {name: made(rows, width) for name, width in widths.items() if width}


def build_step(case: LayoutCase, runtime: Runtime) -> TrainGraph:
    """A step, not compiled yet: (batch, IN) float32 S(0), (batch,) int64 S(0) -> what `TrainGraph` returns."""
    layers = [nn.Linear(IN, EMBEDDING)] + [nn.BatchNorm1d(EMBEDDING)] * case.batch_norm
    backbone = nn.Sequential(*layers)
    if case.sync_batchnorm:
        synchronize_batch_norm(backbone)
    backbone.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    # Without a store: the step knows nothing of where the class centers are kept.
    head = ClassSoftmax(
        case.sampler(runtime.rank),
        EMBEDDING,
        runtime.placement,
        case.margin(),
        filtering=case.filtering,
        half=case.half,
        model_parallel=case.model_parallel,
        dtype=flow.float16 if case.half and runtime.device == "cuda" else flow.float32,
        centers=case.centers,
        smoothing=case.smoothing,
    )
    rules = ParameterRules(5e-4)
    rate = LearningRate(runtime.placement)
    terms = tuple(Term(0.5, name, make_embedding_loss(name)) for name in case.terms)
    projection = None
    if case.teacher not in (None, EMBEDDING):
        projection = nn.Linear(EMBEDDING, case.teacher, bias=False)
        projection.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    model = Classifier(
        backbone, head, TotalLoss(1.0, case.loss, head.margin, terms), projection, _teacher(case, runtime)
    )
    return TrainGraph(model, rate, make_optimizer(case.optimizer), rules, case.clip, case.gradient_acc, case.half)


def _teacher(case: LayoutCase, runtime: Runtime) -> nn.Module | None:
    """As `build_teacher` lays one out."""
    if not case.in_step:
        return None
    teacher = nn.Sequential(nn.Linear(IN, case.teacher), nn.BatchNorm1d(case.teacher)).eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    return teacher.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
