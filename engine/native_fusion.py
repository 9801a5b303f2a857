"""Has a compiled step on a CPU compute BatchNorm, addition and activation in one operator of `native/`.

Of the tensors between them, and of their gradients, nothing is kept; the backward pass computes the normalized values
again, from the convolution's output. Numbers are those of the operators apart, to rounding.
"""

import functools
from collections.abc import Callable

from oneflow.core.operator.op_conf_pb2 import OperatorConf

from engine.job_graph import JobGraph, kind_of, outputs_of

FORWARD, BACKWARD = "channels_last_normalization", "channels_last_normalization_grad"
# Activations without attributes, and which of their tensors their gradients take.
_PLAIN = {"relu": "y", "hardswish": "in", "silu": "in"}


def fuse_normalization(net: JobGraph) -> None:
    """Replaces each `normalization` of images in the job, its gradient, and the activation after it."""
    for op in [op for op in net.ops.values() if kind_of(op) == "normalization"]:
        if len(net.shape(op.user_conf.input["x"].s[0])) == 4 and op.user_conf.attr["axis"].at_int32 == 1:
            _fuse(net, op)


def _fuse(net: JobGraph, op: OperatorConf) -> None:
    gradients = _readers(net, op.user_conf.input["x"].s[0], "normalization_grad")
    # Of several with the same input, the one with these statistics.
    statistics = op.user_conf.output["mean"].s[0] if op.user_conf.attr["training"].at_bool else None
    gradient = next((each for each in gradients if each.user_conf.input["mean"].s[0] == statistics), None)
    op.user_conf.op_type_name = FORWARD
    _rename_input(net, op, "_add_to_output", "addend")
    if gradient is not None:
        gradient.user_conf.op_type_name = BACKWARD
        _take(net, gradient, "beta", op, "beta")
    for each in filter(None, (op, gradient)):  # the job holds every attribute
        each.user_conf.attr["activation"].at_string = ""
        each.user_conf.attr["low"].at_float = each.user_conf.attr["high"].at_float = 0.0
    if "addend" not in op.user_conf.input:
        fuses: list[Callable[[JobGraph, OperatorConf, OperatorConf | None], bool]] = [_fuse_prelu, _fuse_clip]
        fuses += [functools.partial(_fuse_plain, kind=kind) for kind in _PLAIN]
        any(fuse(net, op, gradient) for fuse in fuses)


def _readers(net: JobGraph, tensor: str, kind: str) -> list[OperatorConf]:
    return [op for name, _ in sorted(net.readers(tensor)) if kind_of(op := net.ops[name]) == kind]


def _pair(
    net: JobGraph, op: OperatorConf, gradient: OperatorConf | None, kind: str, taken: Callable[[OperatorConf], str]
) -> tuple[OperatorConf, OperatorConf | None] | None:
    """The activation `kind` after `op`, and its gradient before `gradient`, if nobody else takes what lies between.

    taken: the tensor of the forward pass by which the activation knows its gradient.
    """
    y = op.user_conf.output["y"].s[0]
    after = _readers(net, y, kind)
    if len(after) != 1:
        return None
    activation = after[0]
    readers = {name for name, _ in net.readers(y)} - {activation.name}
    back = None
    if gradient is not None:
        dy = gradient.user_conf.input["dy"].s[0]
        back = net.producer(dy)
        if back is None or kind_of(back) != f"{kind}_grad" or taken(activation) not in _inputs(back):
            return None
        if {name for name, _ in net.readers(dy)} != {gradient.name}:
            return None
        readers.discard(back.name)
    return None if readers else (activation, back)


def _inputs(op: OperatorConf) -> set[str]:
    return {tensor for ends in op.user_conf.input.values() for tensor in ends.s}


def _fuse_prelu(net: JobGraph, op: OperatorConf, gradient: OperatorConf | None) -> bool:
    pair = _pair(net, op, gradient, "prelu", lambda activation: activation.user_conf.input["x"].s[0])
    if pair is None:
        return False
    activation, back = pair
    for each, like in ((op, activation), (gradient, back)):
        if each is not None:
            each.user_conf.attr["activation"].at_string = "prelu"
            _take(net, each, "slope", like, "alpha")
    if gradient is not None and back is not None:
        diff, old = f"{gradient.name}/slope_diff_0", back.user_conf.output["alpha_diff"].s[0]
        gradient.user_conf.output["slope_diff"].s.append(diff)
        gradient.user_conf.output_order.append("slope_diff")
        net.copy_layout(gradient.name, "slope_diff_0", back.name, "alpha_diff_0")
        net.describe_as(diff, old)
        net.replace(old, diff)
    _swallow(net, op, gradient, activation, back)
    return True


def _fuse_clip(net: JobGraph, op: OperatorConf, gradient: OperatorConf | None) -> bool:
    pair = _pair(net, op, gradient, "clip_by_scalar", lambda activation: activation.user_conf.input["x"].s[0])
    if pair is None:
        return False
    for each in (op, gradient):
        if each is not None:
            each.user_conf.attr["activation"].at_string = "clip"
            for own, bound in (("low", "floating_min"), ("high", "floating_max")):
                each.user_conf.attr[own].at_float = pair[0].user_conf.attr[bound].at_double
    _swallow(net, op, gradient, *pair)
    return True


def _fuse_plain(net: JobGraph, op: OperatorConf, gradient: OperatorConf | None, kind: str) -> bool:
    def taken(activation: OperatorConf) -> str:
        ends = (activation.user_conf.input, activation.user_conf.output)
        return next(group[_PLAIN[kind]].s[0] for group in ends if _PLAIN[kind] in group)

    pair = _pair(net, op, gradient, kind, taken)
    if pair is None:
        return False
    for each in (op, gradient):
        if each is not None:
            each.user_conf.attr["activation"].at_string = kind
    _swallow(net, op, gradient, *pair)
    return True


def _swallow(
    net: JobGraph,
    op: OperatorConf,
    gradient: OperatorConf | None,
    activation: OperatorConf,
    back: OperatorConf | None,
) -> None:
    """`op` gives what the activation gave, and `gradient` takes what the activation's gradient took."""
    (after,) = outputs_of(activation)
    if gradient is not None and back is not None:
        dy = back.user_conf.input["dy"].s[0]
        net.replace(gradient.user_conf.input["dy"].s[0], dy)
        net.copy_layout(gradient.name, "dy_0", back.name, "dy_0")
        net.consumers[dy].append(gradient.name)
        net.remove(back.name, gradient.name)
    net.remove(activation.name, op.name)
    net.replace(after, op.user_conf.output["y"].s[0])


def _take(net: JobGraph, op: OperatorConf, end: str, like: OperatorConf, like_end: str) -> None:
    """Gives an operator one more input, which is another's too."""
    tensor = like.user_conf.input[like_end].s[0]
    op.user_conf.input[end].s.append(tensor)
    op.user_conf.input_order.append(end)
    net.copy_layout(op.name, f"{end}_0", like.name, f"{like_end}_0")
    net.consumers[tensor].append(op.name)


def _rename_input(net: JobGraph, op: OperatorConf, old: str, new: str) -> None:
    if old not in op.user_conf.input:
        return
    op.user_conf.input[new].CopyFrom(op.user_conf.input[old])
    del op.user_conf.input[old]
    op.user_conf.input_order[:] = [new if end == old else end for end in op.user_conf.input_order]
    net.rename_end(op.name, f"{old}_0", f"{new}_0")
