"""Activation checkpointing: parts of a compiled step computed again in the backward pass, instead of kept.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016. Of each segment, such as a residual block, only the
input stays, and what is small: statistics and weights. OneFlow's own pass (`activation_checkpointing` of a module)
leaves out BatchNorm, which would follow its statistics twice, and so keeps half of an IResNet's activations. Here
BatchNorm is computed again with the statistics it has given, and nothing random is computed again.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from oneflow.core.job.job_pb2 import Job
from oneflow.core.operator.op_conf_pb2 import OperatorConf

_AGAIN = "Recomputed-"
# Kept as they are: what draws random numbers, and what writes into variables and is not `normalization`.
_NEVER = {"dropout", "random_mask_like", "bernoulli", "normalization_add_relu", "cudnn_fused_normalization_add_relu"}


def recompute(job: Job, segments: Sequence[str], forward: Collection[str]) -> None:
    """Changes a job, in place, so that the backward pass computes the activations of each segment again.

    job: of a training step, built and not compiled. segments: names of modules, as "model.backbone.layer1.0", each of
    which is called once a step, in order. forward: names of the operators of the forward pass.
    """
    net = _Net(job, forward)
    for segment in segments:
        _recompute_segment(net, segment)


class _Net:
    """A job as a graph of its user operators. A tensor is called "operator/output", as in the job."""

    def __init__(self, job: Job, forward: Collection[str]) -> None:
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
        found, left = set(), list(names)
        while left:
            if (name := left.pop()) not in found and name in self.ops:
                found.add(name)
                left += [tensor.partition("/")[0] for tensor in inputs_of(self.ops[name])]
        return found

    def is_large(self, tensor: str) -> bool:
        """Whether it has a row for each image, and not one value for all."""
        op = self.producer(tensor)
        signature = self.job.job_parallel_view_conf.op_name2nd_sbp_signature_conf[op.name].bn_in_op2nd_sbp
        slot = next(slot for slot, each in _slots(op.user_conf.output) if each == tensor)
        first = signature[slot].sbp_parallel[0]
        return first.HasField("split_parallel") and first.split_parallel.axis == 0

    def add(self, op: OperatorConf, like: str, tensors: dict[str, str], layouts: dict[str, str] | None = None) -> None:
        """op: a new one, placed as the operator `like`. tensors: of its outputs, each with one of the same shape;
        layouts: of its ends, each with the end of `like` that is split as it is; the same ends if None.
        """
        self.job.net.op.append(op)
        self.groups[like].op_set.op_name.append(op.name)
        conf = self.job.job_parallel_view_conf  # says it twice
        views, flat_views = conf.op_name2nd_sbp_signature_conf, conf.op_name2sbp_signature_conf
        for end in [slot for group in (op.user_conf.input, op.user_conf.output) for slot, _ in _slots(group)]:
            same = (layouts or {}).get(end, end)
            views[op.name].bn_in_op2nd_sbp[end].CopyFrom(views[like].bn_in_op2nd_sbp[same])
            flat_views[op.name].bn_in_op2sbp_parallel[end].CopyFrom(flat_views[like].bn_in_op2sbp_parallel[same])
        blobs = self.job.helper.lbn2logical_blob_desc
        for tensor, old in tensors.items():
            blobs[tensor].CopyFrom(blobs[old])


def _slots(group) -> list[tuple[str, str]]:
    """The inputs or outputs of a user operator, as ("x_0", tensor)."""
    return [(f"{name}_{i}", tensor) for name, ends in group.items() for i, tensor in enumerate(ends.s)]


def inputs_of(op: OperatorConf) -> list[str]:
    """The tensors that a user operator, or the output of a step, takes."""
    if op.HasField("user_conf"):
        return [tensor for ends in op.user_conf.input.values() for tensor in ends.s]
    conf = getattr(op, op.WhichOneof("op_type"))
    held = getattr(conf, "in", None)
    return [held] if isinstance(held, str) and held else []


def _recompute_segment(net: _Net, segment: str) -> None:
    inside = {name for name in net.forward if name.startswith((f"{segment}.", f"{segment}-"))}

    def comes_again(tensor: str) -> bool:
        op = net.producer(tensor)
        if op.name not in inside or not op.HasField("user_conf") or op.user_conf.op_type_name in _NEVER:
            return False
        goes_on = any(name in net.forward and name not in inside for name in net.consumers[tensor])
        return not goes_on and net.is_large(tensor)

    readers = defaultdict(list)  # of the backward pass, by what they take
    for name in inside:
        for tensor in _outputs(net.ops[name]):
            after = [reader for reader in net.consumers[tensor] if reader not in net.forward]
            if after and comes_again(tensor):
                readers[tensor] = after
    wanted, left = set(), list(readers)
    while left:
        tensor = left.pop()
        if tensor not in wanted:
            wanted.add(tensor)
            left += [each for each in inputs_of(net.producer(tensor)) if comes_again(each)]
    if not wanted:
        return
    start = _first_gradient(net, {name for names in readers.values() for name in names}, wanted)
    again = {tensor: _AGAIN + tensor for tensor in wanted}
    for name in {tensor.partition("/")[0] for tensor in wanted}:
        _add_again(net, net.ops[name], again, start)
    for reader in {name for names in readers.values() for name in names}:
        for ends in net.ops[reader].user_conf.input.values():
            for i, tensor in enumerate(ends.s):
                ends.s[i] = again.get(tensor, tensor)


def _add_again(net: _Net, op: OperatorConf, again: dict[str, str], start: str) -> None:
    """The operator once more, in the backward pass: not before `start` has ended."""
    copy = OperatorConf()
    copy.CopyFrom(op)
    copy.name = _AGAIN + op.name
    copy.ctrl_in_op_name.append(start)
    if op.user_conf.op_type_name == "normalization" and op.user_conf.attr["training"].at_bool:
        _with_known_statistics(net, op, copy, start)
    for group in copy.user_conf.input.values():
        for i, tensor in enumerate(group.s):
            group.s[i] = again.get(tensor, tensor)
    descs = {}
    for group in copy.user_conf.output.values():
        for i, tensor in enumerate(group.s):
            descs[_AGAIN + tensor] = tensor
            group.s[i] = _AGAIN + tensor
    net.add(copy, op.name, descs)


def _first_gradient(net: _Net, readers: set[str], wanted: set[str]) -> str:
    """What ends just before the first of `readers` begins: the operator that makes the gradient it takes."""
    casts, left, gradients = set(), list(readers), {}
    while left:
        name = left.pop()
        before = {tensor.partition("/")[0] for tensor in inputs_of(net.ops[name]) if tensor not in wanted}
        before -= net.forward | casts
        if before:
            gradients[name] = before
        else:  # it takes no gradient, but those that take its output do
            casts.add(name)
            left += [reader for tensor in _outputs(net.ops[name]) for reader in net.consumers[tensor]]
    first = min(gradients, key=net.position.__getitem__)
    return max(gradients[first], key=net.position.__getitem__)


def _with_known_statistics(net: _Net, op: OperatorConf, copy: OperatorConf, start: str) -> None:
    """Turns a copy of BatchNorm into the one that takes statistics: the mean and 1 / inverse^2 that `op` gave."""
    mean, inverse = op.user_conf.output["mean"].s[0], op.user_conf.output["inv_variance"].s[0]
    variance = inverse
    for kind in ("reciprocal", "square"):
        small = OperatorConf(name=f"{copy.name}-{kind}", device_tag=op.device_tag, scope_symbol_id=op.scope_symbol_id)
        small.user_conf.op_type_name = kind
        small.user_conf.input["x"].s.append(variance)
        small.user_conf.input_order.append("x")
        small.user_conf.output_order.append("y")
        variance = f"{small.name}/y_0"
        small.user_conf.output["y"].s.append(variance)
        small.ctrl_in_op_name.append(start)
        net.add(small, op.name, {variance: inverse}, {"x_0": "inv_variance_0", "y_0": "inv_variance_0"})
    conf = copy.user_conf
    conf.attr["training"].at_bool = False
    conf.attr["epsilon"].at_float = 0.0
    conf.input["moving_mean"].s[0], conf.input["moving_variance"].s[0] = mean, variance
    for name in ("mean", "inv_variance"):
        del conf.output[name]
        conf.output_order.remove(name)


def _outputs(op: OperatorConf) -> list[str]:
    return [tensor for ends in op.user_conf.output.values() for tensor in ends.s] if op.HasField("user_conf") else []


def ordered(job: Job) -> list[str]:
    """The operators' names, each as soon as the job names it and all that it waits for are there before it."""
    ops = {op.name: op for op in job.net.op}
    found: dict[str, None] = {}
    for op in job.net.op:
        if op.name.startswith(_AGAIN):
            continue  # as late as possible, which is where it is used
        stack = [op.name]
        while stack:
            name = stack[-1]
            waits = [tensor.partition("/")[0] for tensor in inputs_of(ops[name])] + list(ops[name].ctrl_in_op_name)
            missing = [each for each in waits if each in ops and each not in found]
            if name in found or not missing:
                found.setdefault(stack.pop())
            else:
                stack += missing
    return list(found)
