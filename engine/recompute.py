"""Activation checkpointing: parts of a compiled step computed again in the backward pass, instead of kept.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016. Of each segment, such as a residual block, only the
input stays, and what is small: statistics and weights. OneFlow's own pass (`activation_checkpointing` of a module)
leaves out BatchNorm, which would follow its statistics twice, and so keeps half of an IResNet's activations. Here
BatchNorm is computed again with the statistics it has given, and nothing random is computed again.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from oneflow.core.job.job_pb2 import Job
from oneflow.core.operator.op_conf_pb2 import OperatorConf

from engine.job_graph import LATE, JobGraph, inputs_of, kind_of, outputs_of

# Kept as they are: what draws random numbers, and what writes into variables and is not `normalization`.
_NEVER = {"dropout", "random_mask_like", "bernoulli", "normalization_add_relu", "cudnn_fused_normalization_add_relu"}


def recompute(job: Job, segments: Sequence[str], forward: Collection[str]) -> None:
    """Changes a job, in place, so that the backward pass computes the activations of each segment again.

    job: of a training step, built and not compiled. segments: names of modules, as "model.backbone.layer1.0", each of
    which is called once a step, in order. forward: names of the operators of the forward pass.
    """
    net = JobGraph(job, forward)
    for segment in segments:
        _recompute_segment(net, segment)


def _recompute_segment(net: JobGraph, segment: str) -> None:
    inside = {name for name in net.forward if name.startswith((f"{segment}.", f"{segment}-"))}

    def comes_again(tensor: str) -> bool:
        op = net.producer(tensor)
        if op is None or op.name not in inside or kind_of(op) in {"", *_NEVER}:
            return False
        goes_on = any(name in net.forward and name not in inside for name in net.consumers[tensor])
        return not goes_on and net.is_large(tensor)

    readers = defaultdict(list)  # of the backward pass, by what they take
    for name in inside:
        for tensor in outputs_of(net.ops[name]):
            after = [reader for reader in net.consumers[tensor] if reader not in net.forward]
            if after and comes_again(tensor):
                readers[tensor] = after
    wanted, left = set(), list(readers)
    while left:
        tensor = left.pop()
        if tensor not in wanted:
            wanted.add(tensor)
            left += [each for each in inputs_of(net.ops[tensor.partition("/")[0]]) if comes_again(each)]
    if not wanted:
        return
    start = _first_gradient(net, {name for names in readers.values() for name in names}, wanted)
    again = {tensor: LATE + tensor for tensor in wanted}
    for name in {tensor.partition("/")[0] for tensor in wanted}:
        _add_again(net, net.ops[name], again, start)
    for reader in {name for names in readers.values() for name in names}:
        for ends in net.ops[reader].user_conf.input.values():
            for i, tensor in enumerate(ends.s):
                ends.s[i] = again.get(tensor, tensor)


def _add_again(net: JobGraph, op: OperatorConf, again: dict[str, str], start: str) -> None:
    """The operator once more, in the backward pass: not before `start` has ended."""
    copy = OperatorConf()
    copy.CopyFrom(op)
    copy.name = LATE + op.name
    copy.ctrl_in_op_name.append(start)
    if op.user_conf.op_type_name == "normalization" and op.user_conf.attr["training"].at_bool:
        _with_known_statistics(net, op, copy, start)
    for group in copy.user_conf.input.values():
        for i, tensor in enumerate(group.s):
            group.s[i] = again.get(tensor, tensor)
    descs = {}
    for group in copy.user_conf.output.values():
        for i, tensor in enumerate(group.s):
            descs[LATE + tensor] = tensor
            group.s[i] = LATE + tensor
    net.add(copy, op.name, descs)


def _first_gradient(net: JobGraph, readers: set[str], wanted: set[str]) -> str:
    """What ends just before the first of `readers` begins: the operator that makes the gradient it takes."""
    casts: set[str] = set()
    gradients: dict[str, set[str]] = {}
    left = list(readers)
    while left:
        name = left.pop()
        before = {tensor.partition("/")[0] for tensor in inputs_of(net.ops[name]) if tensor not in wanted}
        before -= net.forward | casts
        if before:
            gradients[name] = before
        else:  # it takes no gradient, but those that take its output do
            casts.add(name)
            left += [reader for tensor in outputs_of(net.ops[name]) for reader in net.consumers[tensor]]
    first = min(gradients, key=net.position.__getitem__)
    return max(gradients[first], key=net.position.__getitem__)


def _with_known_statistics(net: JobGraph, op: OperatorConf, copy: OperatorConf, start: str) -> None:
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
