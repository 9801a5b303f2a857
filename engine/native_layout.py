"""Has a compiled step on a CPU keep images with their channels last, by the operators of `native/`.

The convolutions of oneDNN are quick in that layout and need no copies in another. The job still calls such a tensor
(B, C, H, W), so that shapes, and splits over the ranks by axis 0, are what they were; only its bytes lie as
(B, H, W, C). Where an operator that looks at axes meets one, a copy in the other layout is put between.
"""

import math

from oneflow.core.operator.op_conf_pb2 import OperatorConf

from engine.job_graph import JobGraph, kind_of, ordered
from engine.native_fusion import BACKWARD, FORWARD

# Operators with a form for this layout, and their ends that are images. (Others are weights and statistics.)
_IMAGES = {
    "conv2d": ("in", "out"),
    "conv_data_grad": ("dy", "dx", "x_like"),
    "conv_filter_grad": ("dy", "x"),
    "prelu": ("x", "y"),
    "prelu_grad": ("dy", "x", "dx"),
    FORWARD: ("x", "y", "addend"),
    BACKWARD: ("x", "dy", "dx"),
    "max_pool_2d": ("x", "y", "indice"),
    "max_pool_2d_grad": ("x", "indice", "dy", "dx"),
    "avg_pool_2d": ("x", "y"),
    "avg_pool_2d_grad": ("x", "dy", "dx"),
    "adaptive_avg_pool2d": ("x", "y"),
    "adaptive_avg_pool2d_grad": ("x", "dy", "dx"),
}
# Operators that have a form too, which is worth it if one of their inputs lies so. (B, C, 1, 1) lies in memory either
# way: the mean of an image's channels, and what squeeze-and-excitation multiplies them by.
_FOLLOWING = {
    "broadcast_mul": ("x", "y", "z"),
    "broadcast_like": ("like", "y"),
    "concat": ("in", "out"),
    "reduce_sum": ("input_tensor",),
    "reduce_sum_like": ("x",),
    "split_like": ("in", "like", "out"),
}
_FORMS = _IMAGES | _FOLLOWING
# Those of them that sum over axes, or repeat along them: the attribute, and the end that is images too if the axis is
# not H and W but the second of (B, groups, C, H, W).
_SUMMED = {
    "broadcast_like": ("broadcast_axes", "x"),
    "reduce_sum": ("axis", "output_tensor"),
    "reduce_sum_like": ("axis", "y"),
}
_PREFIX = "channels_last_"
# Operators that take each number for itself, so that all tensors in one layout are as good as in another
_ELEMENTWISE = {
    "add_n",
    "clip_by_scalar",
    "clip_by_scalar_grad",
    "hardsigmoid",
    "hardsigmoid_grad",
    "hardswish",
    "hardswish_grad",
    "identity",
    "relu",
    "relu_grad",
    "scalar_add",
    "scalar_mul",
    "sigmoid",
    "sigmoid_grad",
    "silu",
    "silu_grad",
}


def keep_channels_last(net: JobGraph) -> None:
    """Turns the operators of `_IMAGES`, and what lies between them, to channels last."""
    last: set[str] = set()  # tensors
    turned: set[str] = set()  # operators
    for name in ordered(net.job):
        op = net.ops[name]
        if _has_form(net, op):
            turned.add(name)
            last |= {tensor for end in _IMAGES[kind_of(op)] for tensor in op.user_conf.output[end].s}
        elif _has_following_form(net, op, last):
            turned.add(name)
            ends = _image_ends(net, op)
            last |= {t for end, held in op.user_conf.output.items() if end in ends for t in held.s}
        elif (kind_of(op) in _ELEMENTWISE and _follows(net, op, last)) or _regroups(net, op, last):
            turned.add(name)
            last |= {tensor for ends in op.user_conf.output.values() for tensor in ends.s}
    copies: dict[str, str] = {}
    for name in list(net.ops):
        op = net.ops[name]
        for end, tensor in _image_inputs(net, op):
            if (tensor in last) != (name in turned) and _differs(net.shape(tensor)):
                if tensor not in copies:
                    copies[tensor] = _copy(net, tensor, name in turned, op, end)
                net.replace(tensor, copies[tensor], [name])
    for name in turned:
        kind = kind_of(net.ops[name])
        if kind in _FORMS and not kind.startswith(_PREFIX):
            net.ops[name].user_conf.op_type_name = _PREFIX + kind


def _has_form(net: JobGraph, op: OperatorConf) -> bool:
    if kind_of(op) not in _IMAGES:
        return False
    first = op.user_conf.attr["data_format"].at_string if "data_format" in op.user_conf.attr else "channels_first"
    return first == "channels_first" and _are_images(net, op, _IMAGES[kind_of(op)])


def _has_following_form(net: JobGraph, op: OperatorConf, last: set[str]) -> bool:
    kind, attributes = kind_of(op), op.user_conf.attr
    if kind not in _FOLLOWING or not _are_images(net, op, _image_ends(net, op), (4, 5)):
        return False
    if kind in _SUMMED and _summed_axes(net, op) not in ([-2, -1], [-4]):
        return False
    if kind in ("concat", "split_like") and attributes["axis"].at_int64 != 1:
        return False
    inputs = [tensor for _, tensor in _image_inputs(net, op) if _differs(net.shape(tensor))]
    return any(tensor in last for tensor in inputs)


def _summed_axes(net: JobGraph, op: OperatorConf) -> list[int]:
    """Counted from the last axis, -1."""
    tensor, *_ = _ends_of(op, _FOLLOWING[kind_of(op)])
    count = len(net.shape(tensor))
    return sorted(axis % count - count for axis in op.user_conf.attr[_SUMMED[kind_of(op)][0]].at_list_int32.val)


def _image_ends(net: JobGraph, op: OperatorConf) -> tuple[str, ...]:
    """The names of the ends that are images, of an operator of `_FORMS`."""
    kind = kind_of(op)
    if kind in _SUMMED and _summed_axes(net, op) == [-4]:
        return (*_FOLLOWING[kind], _SUMMED[kind][1])
    return _FORMS[kind]


def _ends_of(op: OperatorConf, names: tuple[str, ...]) -> list[str]:
    """The tensors of an operator's ends that have these names."""
    groups = (op.user_conf.input, op.user_conf.output)
    return [tensor for group in groups for end in names if end in group for tensor in group[end].s]


def _are_images(net: JobGraph, op: OperatorConf, names: tuple[str, ...], axes: tuple[int, ...] = (4,)) -> bool:
    """Whether the ends of an operator that have these names are of so many dimensions."""
    return all(len(net.shape(tensor)) in axes for tensor in _ends_of(op, names))


def _regroups(net: JobGraph, op: OperatorConf, last: set[str]) -> bool:
    """Whether an operator divides the channels of images into groups or joins these, which lie in memory as before."""
    if kind_of(op) != "reshape":
        return False
    (tensor,), (result,) = op.user_conf.input["in"].s, op.user_conf.output["out"].s
    old, new = net.shape(tensor), net.shape(result)
    same = old[:1] + old[-2:] == new[:1] + new[-2:]
    return tensor in last and same and sorted((len(old), len(new))) in ([4, 4], [4, 5])


def _follows(net: JobGraph, op: OperatorConf, last: set[str]) -> bool:
    """Whether an elementwise operator has an input with channels last, and all of them, and its outputs, one shape."""
    inputs = [tensor for ends in op.user_conf.input.values() for tensor in ends.s]
    outputs = [tensor for ends in op.user_conf.output.values() for tensor in ends.s]
    return bool(last & set(inputs)) and len({net.shape(tensor) for tensor in inputs + outputs}) == 1


def _image_inputs(net: JobGraph, op: OperatorConf) -> list[tuple[str, str]]:
    """(end, tensor) of the inputs of an operator in which the layout matters."""
    if not op.HasField("user_conf"):
        conf = getattr(op, op.WhichOneof("op_type"))
        held = getattr(conf, "in", None)
        return [("in", held)] if isinstance(held, str) and held in net.job.helper.lbn2logical_blob_desc else []
    wanted = _image_ends(net, op) if kind_of(op) in _FORMS else op.user_conf.input
    return [
        (f"{end}_{i}", tensor)
        for end, ends in op.user_conf.input.items()
        for i, tensor in enumerate(ends.s)
        if end in wanted
    ]


def _differs(shape: tuple[int, ...]) -> bool:
    """Whether the two layouts of a tensor differ in memory."""
    return len(shape) in (4, 5) and math.prod(shape[1:-2]) > 1 and shape[-2] * shape[-1] > 1


def _copy(net: JobGraph, tensor: str, to_last: bool, reader: OperatorConf, end: str) -> str:
    """An operator that copies a tensor into the other layout, beside the one that makes it; the copy's name."""
    producer = net.producer(tensor)
    kind = "to_channels_last" if to_last else "to_channels_first"
    name = f"{kind}-{tensor.replace('/', '-')}"
    like = reader if producer is None or not producer.HasField("user_conf") else producer
    op = OperatorConf(name=name, device_tag=like.device_tag, scope_symbol_id=like.scope_symbol_id)
    op.user_conf.op_type_name = kind
    op.user_conf.input["in"].s.append(tensor)
    op.user_conf.input_order.append("in")
    op.user_conf.output["out"].s.append(f"{name}/out_0")
    op.user_conf.output_order.append("out")
    own = end if like is reader else tensor.partition("/")[2]
    net.add(op, like.name, {f"{name}/out_0": tensor}, {"in_0": own, "out_0": own})
    net.ops[name] = op
    net.consumers[tensor].append(name)
    return f"{name}/out_0"
