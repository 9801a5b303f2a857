"""A job of OneFlow's, built and not compiled, as a graph of operators that can be changed."""

from collections import defaultdict
from collections.abc import Collection, Iterable

from oneflow.core.job.job_pb2 import Job
from oneflow.core.operator.op_conf_pb2 import OperatorConf

LATE = "Recomputed-"  # begins the names of operators that run as late as possible, just before what they are for


class JobGraph:
    """A job as a graph of its user operators. A tensor is called "operator/output", as in the job."""

    def __init__(self, job: Job, forward: Collection[str] = ()) -> None:
        self.job = job
        self.ops = {op.name: op for op in job.net.op}
        self.consumers: dict[str, list[str]] = defaultdict(list)
        for op in job.net.op:
            for tensor in inputs_of(op):
                self.consumers[tensor].append(op.name)
        # Of the operators there are now; copies wait only for what this order has before their readers.
        self.position = {name: i for i, name in enumerate(ordered(job))}
        self.groups = {name: group for group in job.placement.placement_group for name in group.op_set.op_name}
        self.forward = self._needed_for(name for name in forward if name in self.ops)

    def producer(self, tensor: str) -> OperatorConf | None:
        return self.ops.get(tensor.partition("/")[0])

    def _needed_for(self, names: Iterable[str]) -> set[str]:
        """The operators `names`, and all that come before them, casts of mixed precision among them."""
        needed, left = set(), list(names)
        while left:
            if (name := left.pop()) not in needed and name in self.ops:
                needed.add(name)
                left += [tensor.partition("/")[0] for tensor in inputs_of(self.ops[name])]
        return needed

    def is_large(self, tensor: str) -> bool:
        """Whether it has a row for each image, and not one value for all. tensor: of a user operator."""
        op = self.ops[tensor.partition("/")[0]]
        signature = self.job.job_parallel_view_conf.op_name2nd_sbp_signature_conf[op.name].bn_in_op2nd_sbp
        slot = next(slot for slot, each in slots_of(op.user_conf.output) if each == tensor)
        first = signature[slot].sbp_parallel[0]
        return first.HasField("split_parallel") and first.split_parallel.axis == 0

    def add(self, op: OperatorConf, like: str, tensors: dict[str, str], layouts: dict[str, str] | None = None) -> None:
        """op: a new one, placed as the operator `like`. tensors: of its outputs, each with one of the same shape;
        layouts: of its ends, each with the end of `like` that is split as it is; the same ends if None.
        """
        self.job.net.op.append(op)
        self.groups[like].op_set.op_name.append(op.name)
        for end in [slot for group in (op.user_conf.input, op.user_conf.output) for slot, _ in slots_of(group)]:
            self.copy_layout(op.name, end, like, (layouts or {}).get(end, end))
        for tensor, old in tensors.items():
            self.describe_as(tensor, old)

    def describe_as(self, tensor: str, like: str) -> None:
        """Gives a new tensor the shape and type of another."""
        self.job.helper.lbn2logical_blob_desc[tensor].CopyFrom(self.job.helper.lbn2logical_blob_desc[like])

    def shape(self, tensor: str) -> tuple[int, ...]:
        return tuple(self.job.helper.lbn2logical_blob_desc[tensor].shape.dim)

    def readers(self, tensor: str) -> set[tuple[str, str]]:
        """(operator's name, input's name) of user operators, and (name, "") of others, that take a tensor."""
        readers: set[tuple[str, str]] = set()
        for name in self.consumers[tensor]:
            op = self.ops[name]
            ends = op.user_conf.input.items() if op.HasField("user_conf") else ()
            readers |= {(name, end) for end, held in ends if tensor in held.s} or {(name, "")}
        return readers

    def copy_layout(self, op: str, end: str, like: str, like_end: str) -> None:
        """Has an end of an operator split over the ranks as an end of another is; both as "x_0"."""
        conf = self.job.job_parallel_view_conf  # says it twice
        views, flat_views = conf.op_name2nd_sbp_signature_conf, conf.op_name2sbp_signature_conf
        views[op].bn_in_op2nd_sbp[end].CopyFrom(views[like].bn_in_op2nd_sbp[like_end])
        flat_views[op].bn_in_op2sbp_parallel[end].CopyFrom(flat_views[like].bn_in_op2sbp_parallel[like_end])

    def rename_end(self, op: str, old: str, new: str) -> None:
        """An end of an operator has another name, and stays split as it was."""
        self.copy_layout(op, new, op, old)
        conf = self.job.job_parallel_view_conf
        del conf.op_name2nd_sbp_signature_conf[op].bn_in_op2nd_sbp[old]
        del conf.op_name2sbp_signature_conf[op].bn_in_op2sbp_parallel[old]

    def replace(self, old: str, new: str, readers: Iterable[str] | None = None) -> None:
        """Has `readers`, by default all, take the tensor `new` in place of `old`."""
        names = set(self.consumers[old]) if readers is None else set(readers)
        for name in names:
            op = self.ops[name]
            if op.HasField("user_conf"):
                for ends in op.user_conf.input.values():
                    ends.s[:] = [new if tensor == old else tensor for tensor in ends.s]
            else:
                setattr(getattr(op, op.WhichOneof("op_type")), "in", new)
        self.consumers[new] += [name for name in self.consumers[old] if name in names]
        self.consumers[old] = [name for name in self.consumers[old] if name not in names]

    def remove(self, name: str, instead: str) -> None:
        """Removes an operator whose outputs nobody takes any more; who waits for it waits for `instead`."""
        op = self.ops.pop(name)
        for tensor in inputs_of(op):
            self.consumers[tensor] = [each for each in self.consumers[tensor] if each != name]
        for other in self.ops.values():
            if name in other.ctrl_in_op_name:
                waits = {instead if each == name else each for each in other.ctrl_in_op_name} - {other.name}
                other.ctrl_in_op_name[:] = sorted(waits)
        self.job.net.op.remove(op)
        self.groups.pop(name).op_set.op_name.remove(name)
        conf = self.job.job_parallel_view_conf
        for signatures in (conf.op_name2nd_sbp_signature_conf, conf.op_name2sbp_signature_conf):
            signatures.pop(name, None)
        for tensor in outputs_of(op):
            self.job.helper.lbn2logical_blob_desc.pop(tensor, None)


def kind_of(op: OperatorConf | None) -> str:
    """A user operator's type, such as "conv2d"; "" for all else."""
    return op.user_conf.op_type_name if op is not None and op.HasField("user_conf") else ""


def slots_of(group) -> list[tuple[str, str]]:
    """The inputs or outputs of a user operator, as ("x_0", tensor)."""
    return [(f"{name}_{i}", tensor) for name, ends in group.items() for i, tensor in enumerate(ends.s)]


def inputs_of(op: OperatorConf) -> list[str]:
    """The tensors that a user operator, or the output of a step, takes."""
    if op.HasField("user_conf"):
        return [tensor for ends in op.user_conf.input.values() for tensor in ends.s]
    conf = getattr(op, op.WhichOneof("op_type"))
    held = getattr(conf, "in", None)
    return [held] if isinstance(held, str) and held else []


def outputs_of(op: OperatorConf) -> list[str]:
    return [tensor for ends in op.user_conf.output.values() for tensor in ends.s] if op.HasField("user_conf") else []


def ordered(job: Job) -> list[str]:
    """The operators' names, each as soon as the job names it and all that it waits for are there before it."""
    ops = {op.name: op for op in job.net.op}
    order: dict[str, None] = {}
    for op in job.net.op:
        if op.name.startswith(LATE):
            continue  # as late as possible, which is where it is used
        stack = [op.name]
        while stack:
            name = stack[-1]
            waits = [tensor.partition("/")[0] for tensor in inputs_of(ops[name])] + list(ops[name].ctrl_in_op_name)
            missing = [each for each in waits if each in ops and each not in order]
            if name in order or not missing:
                order.setdefault(stack.pop())
            else:
                stack += missing
    return list(order)
