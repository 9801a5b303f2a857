"""BatchNorm over the images of all ranks ("SyncBN"), in plain operators, on a CPU as on a card.

n ranks train as one rank with all their images would (Ioffe and Szegedy, "Batch Normalization", ICML 2015). What
crosses the ranks are a channel's sums: two in the forward and two in the backward pass of each BatchNorm.

- Compiled step: x is global, S(0), so that a sum over the batch is a partial sum, which becomes broadcast.
- Eager step: x is this rank's own, and gradients of weight and bias are shares, which `EagerStep` sums over the ranks.
- Mixed precision: x, y and their gradients may be float16; sums, statistics, weight and bias are float32. What is
  float32 and as large as x does not live from the forward to the backward pass.
"""

import oneflow as flow
from oneflow import autograd, nn

_EPSILON = 1e-5  # of OneFlow's operator for known statistics, which is here used to multiply and add


def synchronize_batch_norm(model: nn.Module) -> int:
    """Has each BatchNorm of `model` take its statistics from the images of all ranks; returns how many there are.

    The modules stay the same objects with the same parameters and buffers, so that checkpoints serve both ways. In
    evaluation mode nothing changes. Every rank must have as many images as the others.
    """
    chosen = [module for module in model.modules() if type(module) in _SYNCHRONIZED]
    for module in chosen:
        module.__class__ = _SYNCHRONIZED[type(module)]
    return len(chosen)


class _SynchronizedBatchNorm1d(nn.BatchNorm1d):
    def forward(self, x: flow.Tensor) -> flow.Tensor:
        """(B, C) or (B, C, L) -> the same shape."""
        return _normalize(self, x) if self.training else nn.BatchNorm1d.forward(self, x)


class _SynchronizedBatchNorm2d(nn.BatchNorm2d):
    def forward(self, x: flow.Tensor) -> flow.Tensor:
        """(B, C, H, W), or (B, H, W, C) with channels last -> the same shape."""
        if not self.training:
            return nn.BatchNorm2d.forward(self, x)
        if self.channel_axis == 1:
            return _normalize(self, x)
        return _normalize(self, x.reshape(-1, x.shape[3])).reshape(*x.shape)  # each place is a row of all channels


_SYNCHRONIZED = {nn.BatchNorm1d: _SynchronizedBatchNorm1d, nn.BatchNorm2d: _SynchronizedBatchNorm2d}


def _normalize(module: nn.Module, x: flow.Tensor) -> flow.Tensor:
    module.num_batches_tracked.add_(1)
    mean, var = _statistics(x.detach())
    rows = _rows(x)
    _follow(module.running_mean, mean, module.momentum)
    _follow(module.running_var, var * (rows / max(rows - 1, 1)), module.momentum)
    var = var + module.eps
    return _Normalize.apply(x, module.weight, module.bias, mean, var - _EPSILON, flow.rsqrt(var))


class _Normalize(autograd.Function):
    """x (B, C, ...) -> (x - mean) weight inverse + bias. mean, inverse: of x over all ranks, (C,); gradients go through
    them too. var: 1 / inverse^2 - _EPSILON.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, mean, var, inverse) -> flow.Tensor:
        ctx.save_for_backward(x, weight, mean, inverse)
        return _affine(x, mean, weight, bias, var)

    @staticmethod
    def backward(ctx, dy) -> tuple[flow.Tensor | None, ...]:
        """With x̂ the normalized x: dx = weight inverse (dy - mean(dy) - x̂ mean(dy x̂)).

        Everything of x's size comes after dy, or OneFlow would make it in the forward pass and keep it.
        """
        x, weight, mean, inverse = ctx.saved_tensors
        rows, zero = _rows(x), mean * 0.0
        one = zero + (1 - _EPSILON)
        bias_gradient = _total(dy)
        centered = _affine(dy, bias_gradient / rows, zero + 1.0, zero, one)
        # The sum of dy x̂, as the centered dy add up to 0. Their product is float16 if both are: without
        # amp_white_identity mixed precision would take it for float32, since only a sum in float32 needs it.
        weight_gradient = _total(flow._C.amp_white_identity(centered * x)) * inverse
        scale = weight * inverse
        through = _affine(x, mean, -scale * inverse * weight_gradient / rows, zero, one)
        dx = _affine(centered, zero, scale, zero, one) + through
        ranks = 1 if x.is_global else flow.env.get_world_size()
        return dx, weight_gradient / ranks, bias_gradient / ranks, None, None, None


def _affine(x, mean, weight, bias, var) -> flow.Tensor:
    """(x - mean) weight / sqrt(var + _EPSILON) + bias: one operator, float32 inside, for which all are constants."""
    return flow._C.normalization(x, mean, var, weight, bias, axis=1, epsilon=_EPSILON, momentum=0.0, is_training=False)


def _statistics(x: flow.Tensor) -> tuple[flow.Tensor, flow.Tensor]:
    """(B, C, ...) -> mean and variance over all ranks, (C,) float32 broadcast, by two passes over x."""
    rows = _rows(x)
    x = flow._C.amp_black_identity(x)
    mean = _total(x) / rows
    deviation = x - mean.reshape(1, -1, *(1,) * (x.ndim - 2))
    return mean, _total(flow.square(deviation)) / rows


def _total(x: flow.Tensor) -> flow.Tensor:
    """(B, C, ...) -> its sums over all ranks, (C,) float32, on every rank. A collective.

    Mixed precision would sum in float16 without amp_black_identity, and go on in float32 after it up to an operator
    that it does not know: negation is one.
    """
    sums = flow._C.amp_black_identity(x).sum(dim=(0, *range(2, x.ndim)))
    if sums.is_global:
        sums = sums.to_global(sbp=flow.sbp.broadcast)
    elif flow.env.get_world_size() > 1:
        flow._C.local_all_reduce(sums, inplace=True)
    return flow.negative(flow.negative(sums))


def _rows(x: flow.Tensor) -> int:
    """Numbers of a channel in a batch of all ranks."""
    return x.numel() // x.shape[1] * (1 if x.is_global else flow.env.get_world_size())


def _follow(running: flow.Tensor, value: flow.Tensor, momentum: float) -> None:
    """running += momentum (value - running), (C,) each, in a compiled step too.

    There only the operators of an optimizer and of BatchNorm write into what outlives the step. So this is BatchNorm of
    two equal rows, whose mean is `value`; it wants a running variance too, and gets a tensor that nobody reads.
    """
    flow._C.normalization(
        flow.stack([value, value]), running, value + 1.0, value, value,
        axis=1, epsilon=_EPSILON, momentum=momentum, is_training=True,
    )  # fmt: skip
