"""Functions of images x and weights w of a 1x1 convolution: what networks do between convolutions, channels last."""

import oneflow as flow


def _conv(x, w):
    return flow._C.conv2d(x, w, None, [1, 1], [0, 0], [1, 1], 1, channel_pos="channels_first")


def _max_pool(kernel, stride, padding, dilation=1, ceil=False):
    def pool(x):
        settings = {"kernel_size": [kernel] * 2, "stride": [stride] * 2, "padding": [padding] * 2}
        settings |= {"dilation": [dilation] * 2, "return_indices": True, "ceil_mode": ceil}
        return flow._C.max_pool2d(x, **settings, data_format="channels_first")[0]

    return pool


def _avg_pool(kernel, stride, padding, **settings):
    return lambda x: flow.nn.AvgPool2d(kernel, stride, padding, **settings)(x)


def _adaptive(*size):
    return lambda x: flow._C.adaptive_avg_pool2d(x, list(size))


def _squeeze_excite(x):
    return x * flow.sigmoid(x.mean(dim=(2, 3), keepdim=True))


def _split(x):
    first, second = flow.split(x, 3, dim=1)
    return flow.cat([first * 2.0, x, second], dim=1)


def _sum_of_groups(x):
    groups = x.reshape(x.shape[0], 3, x.shape[1] // 3, *x.shape[2:])
    return groups.sum(dim=1) * 2.0


def _normalized(activation):
    def apply(x):
        size = x.shape[1]
        ones, zeros = (flow.full((size,), value, dtype=x.dtype) for value in (1.0, 0.0))
        return activation(flow._C.normalization(x, None, None, ones * 1.5, zeros - 0.2, axis=1, is_training=True))

    return apply


def _between(function):
    """A convolution before, so that images have their channels last, and one that takes x as it is."""
    return lambda x, w: function(_conv(x, w))


_IMAGES, _WEIGHTS = (2, 5, 9, 7), (6, 5, 1, 1)
CASES = {  # name: (function, shape of x, shape of w, the operator that must be in the job)
    "max": (_max_pool(3, 2, 1), _IMAGES, "max_pool_2d"),
    "max, ceil": (_max_pool(2, 2, 0, ceil=True), _IMAGES, "max_pool_2d"),
    "max, dilated": (_max_pool(2, 1, 1, dilation=3), _IMAGES, "max_pool_2d"),
    "max of one pixel": (_max_pool(3, 2, 1), (3, 5, 1, 1), "max_pool_2d"),
    "average": (_avg_pool(3, 2, 1), _IMAGES, "avg_pool_2d"),
    "average, padding left out": (_avg_pool(3, 2, 1, count_include_pad=False), _IMAGES, "avg_pool_2d"),
    "average, ceil": (_avg_pool(2, 2, 0, ceil_mode=True, count_include_pad=False), _IMAGES, "avg_pool_2d"),
    "average, divisor": (_avg_pool(2, 1, 0, divisor_override=3), _IMAGES, "avg_pool_2d"),
    "average of one image": (_avg_pool(2, 2, 0), (1, 5, 4, 4), "avg_pool_2d"),
    "adaptive": (_adaptive(4, 3), _IMAGES, "adaptive_avg_pool2d"),
    "adaptive to one": (_adaptive(1, 1), _IMAGES, "adaptive_avg_pool2d"),
    "squeeze and excite": (_squeeze_excite, _IMAGES, "broadcast_mul"),
    "squeeze and excite 2 pixels": (_squeeze_excite, (3, 5, 1, 2), "broadcast_mul"),
    "squeeze and excite 7 pixels": (_squeeze_excite, (1, 5, 7, 1), "broadcast_mul"),
    "squeeze and excite, on several threads": (_squeeze_excite, (4, 5, 40, 40), "broadcast_mul"),
    "split and concatenate": (_split, _IMAGES, "split_like"),
    "sum of groups": (_sum_of_groups, _IMAGES, "reduce_sum"),
    "sum of groups, on several threads": (_sum_of_groups, (4, 5, 40, 40), "broadcast_like"),
    "product": (lambda x: x * (x + 1.0), _IMAGES, "broadcast_mul"),
    "normalization and hardswish": (_normalized(flow._C.hardswish), _IMAGES, "normalization"),
    "normalization and silu": (_normalized(flow._C.silu), _IMAGES, "normalization"),
    "normalization and silu, used twice": (_normalized(lambda x: x + flow._C.silu(x)), _IMAGES, "normalization"),
    "hardswish": (lambda x: flow._C.hardswish(x * 3.0), _IMAGES, ""),
    "silu": (lambda x: flow._C.silu(x), _IMAGES, ""),
}
CASES = {name: (_between(function), [x, _WEIGHTS], kind) for name, (function, x, kind) in CASES.items()}
