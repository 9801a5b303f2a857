"""Convolutions that are quicker on a CPU than OneFlow 0.9.0's own, with the same parameters, outputs and gradients.

OneFlow unfolds one number at a time (4 ns each, forward and twice backward), which takes as long as the products. Here
whole rows are copied instead, and a batch is one product.

- Layout inside a convolution: (C, H, B, W). Then a row of all images is one piece of memory, the unfolded input
  (C * 9, H * B * W) is one `gather` of such rows, and with a batch that is split over ranks, S(0), everything inside is
  split along B too; weight gradients come out as partial sums.
- Shifting by a column is copying all rows of a channel from one number later or earlier; what wraps around from the
  neighbouring row is made zero before.
- Backward unfolds the gradient once, for the input's gradient and the weight's alike. Nothing unfolded is kept.
"""

from functools import cache

import numpy as np
import oneflow as flow
from oneflow import autograd, nn
from oneflow.framework.graph_build_util import lazy_mode

_TAPS = 9  # of a 3x3 kernel


def use_cpu_kernels(model: nn.Module) -> int:
    """Has the convolutions of `model` that this module can compute be computed by it; returns how many.

    These are the 3x3 ones of stride 1 and padding 1, with any groups, and the 1x1 ones of stride 1. The modules stay
    the same objects, with the same parameters. For training on CPU: ONNX export needs the plain modules.
    """
    chosen = [module for module in model.modules() if type(module) is nn.Conv2d and module.bias is None]
    chosen = [module for module in chosen if module.stride == (1, 1) and module.dilation == (1, 1)]
    for module in chosen:
        if module.kernel_size == (3, 3) and module.padding == (1, 1):
            module.__class__ = _Conv3x3
        elif module.kernel_size == (1, 1) and module.padding == (0, 0) and module.groups == 1:
            module.__class__ = _Conv1x1
    return sum(type(module) is not nn.Conv2d for module in chosen)


class _Conv1x1(nn.Conv2d):
    def forward(self, x: flow.Tensor) -> flow.Tensor:
        """(B, C, H, W) -> (B, O, H, W)."""
        return _to_images(flow.matmul(self.weight.flatten(1), _to_pixels(x)), x.shape)


class _Conv3x3(nn.Conv2d):
    def forward(self, x: flow.Tensor) -> flow.Tensor:
        """(B, C, H, W) -> (B, O, H, W)."""
        if x.requires_grad:
            return _Convolve.apply(x, self.weight)
        # Images of 3 channels are unfolded in no time, their gradient of 64 is not.
        return _to_images(_product(_weight_rows(self.weight, self.groups), _unfold(x)), x.shape)


class _Convolve(autograd.Function):
    """3x3, stride 1, padding 1. x: (B, C, H, W), weight: (O, C / groups, 3, 3) -> (B, O, H, W)."""

    @staticmethod
    def forward(ctx, x: flow.Tensor, weight: flow.Tensor) -> flow.Tensor:
        ctx.save_for_backward(x, weight)
        groups = x.shape[1] // weight.shape[1]
        return _to_images(_product(_weight_rows(weight, groups), _unfold(x)), x.shape)

    @staticmethod
    def backward(ctx, gradient: flow.Tensor) -> tuple[flow.Tensor, flow.Tensor]:
        x, weight = ctx.saved_tensors
        outs, ins = weight.shape[0], weight.shape[1]
        groups = x.shape[1] // ins
        unfolded = _unfold(gradient, mirrored=True)  # (O * 9, H * B * W)
        by_group = weight.reshape(groups, outs // groups, ins, _TAPS)
        mirrored = by_group.permute(0, 2, 1, 3).reshape(groups, ins, outs // groups * _TAPS)
        x_gradient = _to_images(_product(_drop_single(mirrored), unfolded), x.shape)
        products = _product(_by_group(_to_pixels(x), groups), unfolded, transpose_b=True)
        products = products.reshape(groups, ins, outs // groups, _TAPS).permute(0, 2, 1, 3)
        return x_gradient, products.reshape(*weight.shape)


def _weight_rows(weight: flow.Tensor, groups: int) -> flow.Tensor:
    """(O, C / groups, 3, 3) -> (O, C * 9), or with groups (groups, O / groups, C / groups * 9)."""
    return _by_group(weight.flatten(1), groups)


def _by_group(rows: flow.Tensor, groups: int) -> flow.Tensor:
    """(N, K) -> (groups, N / groups, K); one group: as it is."""
    return rows if groups == 1 else rows.reshape(groups, rows.shape[0] // groups, rows.shape[1])


def _drop_single(rows: flow.Tensor) -> flow.Tensor:
    return rows.flatten(0, 1) if rows.shape[0] == 1 else rows


def _product(rows: flow.Tensor, unfolded: flow.Tensor, transpose_b: bool = False) -> flow.Tensor:
    """rows: (N, K) or (groups, N / groups, K); unfolded: all groups' rows, one below the other."""
    if rows.ndim == 3:
        unfolded = _by_group(unfolded, rows.shape[0])
    return flow.matmul(rows, unfolded, transpose_b=transpose_b)


def _to_pixels(x: flow.Tensor) -> flow.Tensor:
    """(B, C, H, W) -> (C, H * B * W)."""
    batch, channels, height, width = x.shape
    return x.permute(1, 2, 0, 3).reshape(channels, height * batch * width)


def _to_images(pixels: flow.Tensor, shape: tuple[int, ...]) -> flow.Tensor:
    """(O, H * B * W), or in groups, -> (B, O, H, W); B, H and W as in `shape`."""
    batch, _, height, width = shape
    return pixels.reshape(-1, height, batch, width).permute(2, 0, 1, 3)


def _unfold(x: flow.Tensor, mirrored: bool = False) -> flow.Tensor:
    """(B, C, H, W) -> (C * 9, H * B * W): what each tap of a 3x3 kernel sees; `mirrored`: the last tap first."""
    batch, channels, height, width = x.shape
    not_last, not_first, rows = _tables(height, width, mirrored, x.placement if x.is_global else None)
    flat = x.reshape(batch, channels, height * width)
    to_right, to_left = flat * not_last, flat * not_first
    filler = flat.narrow(2, 0, width - 1)
    zero_before, zero_after = to_right.narrow(2, width - 1, 1), to_left.narrow(2, 0, 1)
    # The rows of each channel shifted right, one of filler, those of x, one of filler, and those shifted left.
    shifted = flow.cat([zero_before, to_right, filler, flat, filler, to_left, zero_after], dim=2)
    shifted = shifted.reshape(batch, channels, 3 * height + 2, width).permute(1, 2, 0, 3)
    return flow._C.gather(shifted, rows, axis=1).reshape(channels * _TAPS, height * batch * width)


@cache
def _tables(height: int, width: int, mirrored: bool, placement: flow.placement | None) -> tuple[flow.Tensor, ...]:
    """Masks (H * W,) without each row's last and first column; the rows (9 * H,) that the taps see.

    A row past the end, which `gather` makes zero, stands for those above and below the image.
    """
    column = np.arange(height * width) % width
    row = np.arange(height)
    taps = []
    for down in (-1, 0, 1):
        for start in (0, height + 1, 2 * height + 2):
            inside = (row + down >= 0) & (row + down < height)
            taps.append(np.where(inside, row + down + start, 3 * height + 2))
    rows = np.concatenate(taps[::-1] if mirrored else taps)
    arrays = ((column < width - 1).astype(np.float32), (column > 0).astype(np.float32), rows)
    with lazy_mode.guard(False):  # constants, also where a graph is being built
        tensors = [flow.tensor(array) for array in arrays]
        if placement is not None:
            tensors = [tensor.to_global(placement=placement, sbp=flow.sbp.broadcast) for tensor in tensors]
    return tuple(tensors)
