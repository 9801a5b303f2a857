"""How a compiled step lays its tensors out over the ranks, read from the job that OneFlow compiled."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from oneflow.core.common import data_type_pb2
from oneflow.core.job.job_pb2 import Job

_WIDTHS = {"bool": 1, "int8": 1, "uint8": 1, "float16": 2, "int32": 4, "float": 4, "int64": 8, "double": 8}  # bytes
_LETTERS = {"broadcast_parallel": "B", "partial_sum_parallel": "P"}


@dataclass(frozen=True)
class End:
    """An input or output of an operator. slot: its name there, as "x_0"; tensor: the name of the tensor.

    dtype: "float16", "float" (32 bits), "int64", ...; shape: of all ranks together. sbp: as the operator takes or
    gives it, "S0", "S1", "B" or "P".
    """

    slot: str
    tensor: str
    dtype: str
    shape: tuple[int, ...]
    sbp: str

    @property
    def bytes(self) -> int:
        """Of all ranks together."""
        return prod(self.shape) * _WIDTHS[self.dtype]

    def __str__(self) -> str:
        return f"{self.tensor} {self.dtype}{list(self.shape)} {self.sbp}"


@dataclass(frozen=True)
class Operator:
    """kind: "matmul", "variable", ...; device: "cpu" or "cuda"."""

    kind: str
    name: str
    device: str
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]

    def __str__(self) -> str:
        types = (", ".join(f"{end.slot} {end.dtype}" for end in ends) for ends in (self.inputs, self.outputs))
        return f"{self.kind} on {self.device}: {' -> '.join(types)}"


@dataclass(frozen=True)
class Crossing:
    """A tensor that one operator gives in one layout and another takes in a different one."""

    given: End
    taken: End
    taker: str

    def __str__(self) -> str:
        return f"{self.given} -> {self.taken.sbp} for {self.taker}"


def read_operators(job: Job) -> list[Operator]:
    """The operators of a job (`graph._full_graph_proto`), in the job's order."""
    groups, signatures = job.placement.placement_group, job.job_parallel_view_conf.op_name2nd_sbp_signature_conf
    placed = {name: group.parallel_conf.device_tag for group in groups for name in group.op_set.op_name}
    return [_operator(op, placed[op.name], signatures[op.name], job.helper.lbn2logical_blob_desc) for op in job.net.op]


def over_classes(operators: Iterable[Operator], classes: int) -> list[End]:
    """The tensors with an axis of `classes` (or slots), a length that no other axis has: each as its operator gives it.

    What the step returns is among them once more, as the output operator gives it: that is a copy.
    """
    return [end for op in operators for end in op.outputs if classes in end.shape]


def crossings(operators: list[Operator]) -> list[Crossing]:
    """What is sent between the ranks: every tensor that is taken in another layout than it is given in.

    A broadcast tensor is on every rank already, so taking a part of it sends nothing.
    """
    given = {end.tensor: end for op in operators for end in op.outputs}
    return [
        Crossing(given[end.tensor], end, op.name)
        for op in operators
        for end in op.inputs
        if given[end.tensor].sbp not in (end.sbp, "B")
    ]


def _operator(op, device: str, signature, descs) -> Operator:
    kind = op.WhichOneof("op_type")
    ends_of = _user_ends if kind == "user_conf" else _system_ends
    inputs, outputs = (
        tuple(_end(slot, tensor, signature.bn_in_op2nd_sbp[slot], descs[tensor]) for slot, tensor in ends)
        for ends in ends_of(op, list(signature.bn_in_op2nd_sbp))
    )
    return Operator(op.user_conf.op_type_name or kind.removesuffix("_conf"), op.name, device, inputs, outputs)


def _user_ends(op, slots: list[str]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    return tuple(
        [(f"{name}_{i}", tensor) for name, group in sorted(ends.items()) for i, tensor in enumerate(group.s)]
        for ends in (op.user_conf.input, op.user_conf.output)
    )


def _system_ends(op, slots: list[str]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Of a variable, an input or an output: a slot holds another operator's tensor, or is an output."""
    conf = getattr(op, op.WhichOneof("op_type"))
    held = {slot: _held(conf, slot) for slot in sorted(slots)}
    inputs = [(slot, tensor) for slot, tensor in held.items() if "/" in tensor]
    return inputs, [(slot, f"{op.name}/{slot}") for slot, tensor in held.items() if "/" not in tensor]


def _held(conf, slot: str) -> str:
    """What stands in a slot: a field of its name, or "tick_0" for the first of the field `tick`."""
    if slot in conf.DESCRIPTOR.fields_by_name:
        return getattr(conf, slot)
    name, _, number = slot.rpartition("_")
    return getattr(conf, name)[int(number)]


def _end(slot: str, tensor: str, sbp, desc) -> End:
    dtype = data_type_pb2.DataType.Name(desc.data_type).removeprefix("k").lower()
    return End(slot, tensor, dtype, tuple(desc.shape.dim), "".join(map(_layout, sbp.sbp_parallel)))


def _layout(parallel) -> str:
    kind = parallel.WhichOneof("parallel_type")
    return _LETTERS.get(kind) or f"S{parallel.split_parallel.axis}"
