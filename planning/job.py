"""What one rank's compiled step holds in memory, read from the job that OneFlow itself would compile.

The job is built but neither compiled nor run: its operators, the backward pass and the update among them, have shapes
and no memory. So this sees whatever a backbone or head really does, and costs seconds even for a large batch.
"""

from dataclasses import dataclass

import numpy as np
import oneflow as flow
from easydict import EasyDict
from oneflow import nn
from oneflow.core.common import data_type_pb2

from backbones import get_model
from backbones.layer_norm import use_one_operator
from backbones.pixels import Pixels
from backbones.synchronized import synchronize_batch_norm
from deploy.teacher import find_teacher, teacher_size
from engine.graph import TrainGraph
from engine.job_graph import ordered
from engine.model import Classifier, freeze
from engine.network import build_teacher, configured_segments, image_shape
from engine.projection import build_projection
from heads.build import configured_softmax
from heads.sampling import ClassSampler
from losses import TotalLoss, configured_loss
from native.library import built_library
from optim import configured_optimizer
from optim.compiled import LearningRate
from optim.parameters import ParameterRules
from utils.config.rules import teacher_in_step
from utils.errors import UserError
from utils.runtime import Runtime

_WIDTHS = {  # bytes
    data_type_pb2.kBool: 1,
    data_type_pb2.kInt8: 1,
    data_type_pb2.kUInt8: 1,
    data_type_pb2.kFloat16: 2,
    data_type_pb2.kFloat: 4,
    data_type_pb2.kInt32: 4,
    data_type_pb2.kDouble: 8,
    data_type_pb2.kInt64: 8,
}
_COLUMNS = 1009  # of the job that is built: a prime, by which a tensor's dimension over classes is recognized
_IN_PLACE = {"add_n", "repeat"}  # operators whose output is their (first) input's memory, on a CPU too
# Threads that compute a step on a CPU: each keeps the weights of a convolution, and their gradient, in another layout
_THREADS = 2
_OUTPUT_COPIES = 2  # besides the operator's own: nn.Graph keeps a tensor for each output, and hands out a copy of it


@dataclass(frozen=True)
class Blob:
    """A tensor of the job. Its bytes are fixed + per_column * columns, columns being this rank's share of a batch's
    classes. born, last: positions of the operators that make it and use it last."""

    part: str
    fixed: float
    per_column: float
    born: int
    last: int
    kept: bool  # for the whole run: a weight, a momentum, an input or an output

    def bytes(self, columns: int) -> float:
        return self.fixed + self.per_column * columns


@dataclass(frozen=True)
class Job:
    """native: whether the kernels of `native/` compute it."""

    blobs: list[Blob]
    operators: int
    native: bool


def read_job(cfg, ranks: int, device: str) -> Job:
    """The tensors of one of `ranks` ranks' step with `cfg` (its number of classes does not matter)."""
    native = uses_native(cfg, device)
    job = _build(cfg, ranks, device, native)
    by_name = {op.name: op for op in job.net.op}
    shapes, ops = job.helper.lbn2logical_blob_desc, [by_name[name] for name in ordered(job)]
    slots = tuple(f"-{slot}" for slot in configured_optimizer(cfg).slots)
    produced, last, gradients = {}, {}, set()
    for position, op in enumerate(ops):
        inputs, outputs = _ends(op)
        produced.update(dict.fromkeys(outputs, position))
        last.update(dict.fromkeys(inputs, position))
        if "model_diff" in op.user_conf.input:
            gradients.update(op.user_conf.input["model_diff"].s)
    blobs = []
    for name, desc in shapes.items():
        op = ops[produced[name]] if name in produced else None
        if op is not None and _kind(op) in _IN_PLACE:
            continue
        born = produced.get(name, 0)
        kept = op is not None and op.WhichOneof("op_type") in ("variable_conf", "input_conf", "output_conf")
        part, copies = _part(name, op, name in gradients, desc, slots), 1
        if op is not None and op.HasField("output_conf"):
            copies += _OUTPUT_COPIES
        blobs.append(_blob(part, _bytes(desc) * copies, _COLUMNS in desc.shape.dim, born, last.get(name, born), kept))
    for position, op in enumerate(ops):
        size, over_classes = _workspace(op, shapes, native)
        if size:
            blobs.append(_blob("workspace", size, over_classes, position, position, False))
    if native:
        weights = [shapes[op.user_conf.input["weight"].s[0]] for op in ops if "weight" in op.user_conf.input]
        size = _THREADS * 2 * max(map(_bytes, weights), default=0)
        blobs.append(_blob("workspace", size, False, 0, len(ops), True))
    return Job(blobs, len(ops), native)


def _blob(part: str, size: int, over_classes: bool, born: int, last: int, kept: bool) -> Blob:
    return Blob(part, *((0, size / _COLUMNS) if over_classes else (size, 0.0)), born, last, kept)


class _Gathered(nn.Module):
    """A head as a rank of several sees it: with all ranks' embeddings and labels, and its own columns only."""

    def __init__(self, head: nn.Module, ranks: int) -> None:
        super().__init__()
        self.head, self._ranks = head, ranks

    def forward(
        self, embedding: flow.Tensor, labels: flow.Tensor, state: dict[str, flow.Tensor], random: flow.Tensor | None
    ):
        return self.head(self._of_all(embedding), self._of_all(labels), state, self._of_all(random))

    def _of_all(self, rows: flow.Tensor | None) -> flow.Tensor | None:
        return rows if rows is None or self._ranks == 1 else flow.cat([rows] * self._ranks)


def _build(cfg, ranks: int, device: str, native: bool):
    """The job of one rank, `_COLUMNS` wide. For a card too it is built on the CPU, without fused operators."""
    placement = flow.placement("cpu", ranks=[0])
    runtime = Runtime("cpu", 0, 1, placement)
    backbone = get_model(cfg.network, cfg.embedding_size, cfg.dropout, image_shape(cfg)).train()
    if cfg.sync_batchnorm:
        synchronize_batch_norm(backbone)
    if device == "cuda" or native:
        use_one_operator(backbone)
    backbone.to_global(placement=placement, sbp=flow.sbp.broadcast)
    shared = ranks if cfg.model_parallel else 1
    head = configured_softmax(cfg, ClassSampler(_COLUMNS, 1, 0, 1.0, 1, 0), placement, device)
    optimizer = configured_optimizer(cfg)
    rules = ParameterRules.from_config(cfg, optimizer.weight_decay)
    freeze(backbone, rules)
    loss = configured_loss(cfg)
    in_step = loss.wants_teacher and teacher_in_step(cfg)
    teacher, size = None, _teacher_size(cfg, loss)
    if in_step:
        teacher, size = build_teacher(find_teacher(cfg.teacher), runtime, image_shape(cfg))
    projection = build_projection(EasyDict(cfg, graph=True), size, runtime)
    if projection is not None:
        freeze(projection, rules, "projection")
    pixels = Pixels(image_shape(cfg).channels)
    model = Classifier(backbone, _Gathered(head, shared), loss, projection, teacher, pixels)
    parts = model, LearningRate(placement), optimizer, rules, cfg.clip_grad_norm, cfg.gradient_acc
    graph = TrainGraph(*parts, recomputed=configured_segments(cfg, backbone), native=native)
    batch = cfg.batch_size * cfg.gradient_acc
    images = runtime.split_batch(np.zeros((batch, *image_shape(cfg)), np.uint8))
    labels = runtime.split_batch(np.zeros(batch, np.int64))
    whole = {"placement": placement, "sbp": flow.sbp.broadcast}
    state = {name: flow.zeros(cfg.gradient_acc, **whole) for name in head.margin.state}
    inputs = {"mirrored": runtime.split_batch(np.zeros(batch, np.int8))}
    if loss.terms:
        inputs |= {"classes": labels, "records": labels}
    if loss.means_rate is not None:
        inputs["means"] = runtime.split_batch(np.zeros((batch, cfg.embedding_size), np.float32))
    if loss.wants_teacher and teacher is None:
        inputs["teacher"] = runtime.split_batch(np.zeros((batch, size), np.float32))
    if loss.margin.is_random:
        inputs["random"] = runtime.split_batch(np.zeros((batch, 1), np.float32))
    drawn = model.draws.draw(cfg.seed, 0, np.arange(batch))
    inputs |= {name: runtime.split_batch(rows) for name, rows in drawn.items()}
    graph.build_graph(images, labels, state, inputs)
    return graph._full_graph_proto


def _teacher_size(cfg, loss: TotalLoss) -> int:
    """The length of the embeddings that come with a batch; the student's if they are synthetic, or there are none."""
    if not loss.wants_teacher or cfg.synthetic or cfg.teacher is None:
        return cfg.embedding_size
    return teacher_size(find_teacher(cfg.teacher))


def _kind(op) -> str:
    return op.user_conf.op_type_name if op.HasField("user_conf") else op.WhichOneof("op_type")


def _ends(op) -> tuple[list[str], list[str]]:
    """The names of an operator's input and output tensors."""
    if op.HasField("user_conf"):
        inputs, outputs = (
            [name for group in end.values() for name in group.s] for end in (op.user_conf.input, op.user_conf.output)
        )
        return inputs, outputs
    conf = getattr(op, op.WhichOneof("op_type"))
    names = []
    for field in ("in", "out"):
        value = getattr(conf, field, "") if conf.DESCRIPTOR.fields_by_name.get(field) else ""
        names.append([value] if isinstance(value, str) and value else [])
    return names[0], [f"{op.name}/{name}" for name in names[1]]


def _bytes(desc) -> int:
    return int(np.prod(desc.shape.dim, dtype=np.int64)) * _WIDTHS[desc.data_type]


def _part(name: str, op, gradient: bool, desc, slots: tuple[str, ...]) -> str:
    """slots: what the names of an optimizer's variables end with."""
    op_name = name.partition("/")[0]
    if op is not None and op.HasField("variable_conf"):
        if op_name.startswith("model.head"):
            return "normalized centers"
        return "backbone optimizer" if op_name.endswith(slots) else "backbone weights"
    if _COLUMNS in desc.shape.dim:
        return "logits"
    return "backbone gradients" if gradient else "activations"


def uses_native(cfg, device: str) -> bool:
    """Whether a run here would have the kernels of `native/`."""
    try:
        return bool(cfg.cpu_kernels) and device == "cpu" and built_library().exists()
    except UserError:
        return False


def _workspace(op, shapes, native: bool) -> tuple[int, bool]:
    """Bytes of an operator's temporary buffer on a CPU, and whether they grow with the classes.

    OneFlow's convolutions unfold one image at a time, forward and in both directions backward (conv_kernels.cpp), those
    of `native/` (`native`) share a little memory of each thread; reductions copy their input (reduce_kernel.cpp), but
    sums by `native/` do not, and `where` all three of its own. Clipped gradients take their size once more:
    so measured with r18 and r50 by switching clipping off, though mbf_tiny does without. Nothing else takes much.
    """
    kind, conf = _kind(op), op.user_conf
    if kind.startswith("multi_reduce_"):
        return sum(_bytes(shapes[name]) for group in conf.input.values() for name in group.s), False
    if kind.startswith("reduce_") and not (native and kind in ("reduce_sum", "reduce_sum_like")):
        large = max((shapes[name] for group in conf.input.values() for name in group.s), key=_bytes)
        return _bytes(large), _COLUMNS in large.shape.dim
    if kind == "where":
        (out,) = conf.output["out"].s
        return _bytes(shapes[out]) * 9 // 4, _COLUMNS in shapes[out].shape.dim  # a condition is one byte
    if kind in ("conv2d", "conv_data_grad", "conv_filter_grad") and not native:
        (small,) = conf.output["out"].s if kind == "conv2d" else conf.input["dy"].s
        (wide,) = conf.output["dx"].s if kind == "conv_data_grad" else conf.input["in" if kind == "conv2d" else "x"].s
        channels = shapes[wide].shape.dim[1] // conf.attr["groups"].at_int32
        places = np.prod(shapes[small].shape.dim[2:]) * np.prod(conf.attr["kernel_size"].at_list_int32.val)
        return int(channels * places) * 4, False
    return 0, False
