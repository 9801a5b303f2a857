"""BatchNorm over the images of all ranks ("SyncBN"), in plain operators, on a CPU as on a card.

n ranks train as one rank with all their images would. What crosses the ranks are a channel's sums: two in the forward
and two in the backward pass of each BatchNorm.

- Compiled step: x is global, S(0), so that a sum over the batch is a partial sum, which becomes broadcast.
- Eager step: x is this rank's own, and so are gradients of weight and bias, which `EagerStep` sums over the ranks.
- Mixed precision: x and y may be float16; sums, statistics, weight and bias are float32 in both passes.
"""

import oneflow as flow
from oneflow import autograd, nn

_EPSILON = 1e-5  # any: with a variance of 1 - _EPSILON OneFlow's operator multiplies and adds, and no more


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
        """(B, C, H, W) -> the same shape."""
        return _normalize(self, x) if self.training else nn.BatchNorm2d.forward(self, x)


_SYNCHRONIZED = {nn.BatchNorm1d: _SynchronizedBatchNorm1d, nn.BatchNorm2d: _SynchronizedBatchNorm2d}


def _normalize(module: nn.Module, x: flow.Tensor) -> flow.Tensor:
    mean, var = _statistics(x.detach())
    module.num_batches_tracked.add_(1)
    rows = _rows(x)
    _follow(module.running_mean, mean, module.momentum)
    _follow(module.running_var, var * (rows / max(rows - 1, 1)), module.momentum)
    inverse = flow.rsqrt(var + module.eps)
    weight, bias = _ThroughStatistics.apply(x, module.weight, module.bias, mean, inverse)
    # One operator, which takes statistics for constants.
    return flow._C.normalization(
        x, mean, var, weight, bias, axis=1, epsilon=module.eps, momentum=module.momentum, is_training=False
    )


class _ThroughStatistics(autograd.Function):
    """x (B, C, ...), weight, bias, mean and inverse standard deviation, (C,) each -> weight and bias as they are.

    With them used where x is normalized by constants, their gradients are all that the gradient through mean and
    variance needs (Ioffe and Szegedy, "Batch Normalization", ICML 2015):
    dx = weight inverse (dy - mean(dy) - x̂ mean(dy x̂)), of which the operator itself gives the first term.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, mean, inverse) -> tuple[flow.Tensor, flow.Tensor]:
        ctx.save_for_backward(x, weight, mean, inverse)
        return weight * 1.0, bias * 1.0

    @staticmethod
    def backward(ctx, weight_gradient, bias_gradient) -> tuple[flow.Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        # This rank's sums. What follows a negation is in float32 under mixed precision: that knows no such operator.
        slope, offset = (_over_ranks(-own) * (weight * inverse / _rows(x)) for own in (weight_gradient, bias_gradient))
        # (x - mean) slope inverse + offset; it waits for gradients, so nothing of x's size is made in the forward pass
        constant = flow.full_like(mean, 1 - _EPSILON)
        through = flow._C.normalization(
            x, mean, constant, slope * inverse, offset, axis=1, epsilon=_EPSILON, momentum=0.0, is_training=False
        )
        return through, weight_gradient, bias_gradient, None, None


def _statistics(x: flow.Tensor) -> tuple[flow.Tensor, flow.Tensor]:
    """(B, C, ...) -> mean and variance over all ranks, (C,) float32 broadcast, by two passes over x."""
    if x.is_global:
        x = flow._C.amp_black_identity(x)  # or mixed precision would sum in float16
    rows = _rows(x)
    mean = _over_ranks(_sum(x)) / rows
    deviation = x - mean.reshape(1, -1, *(1,) * (x.ndim - 2))
    var = _over_ranks(_sum(flow.square(deviation))) / rows
    # So that y may be float16 again: what is near amp_black_identity, and all it knows after that, stays float32.
    return tuple(-(-each) for each in (mean, var))


def _sum(x: flow.Tensor) -> flow.Tensor:
    """(B, C, ...) -> (C,), of this rank's images."""
    return x.sum(dim=(0, *range(2, x.ndim)))


def _rows(x: flow.Tensor) -> int:
    """Numbers of a channel in a batch of all ranks."""
    return x.numel() // x.shape[1] * (1 if x.is_global else flow.env.get_world_size())


def _over_ranks(sums: flow.Tensor) -> flow.Tensor:
    """(C,), a partial sum or each rank's own -> their sum, on every rank. A collective."""
    if sums.is_global:
        return sums.to_global(sbp=flow.sbp.broadcast)
    return flow._C.local_all_reduce(sums) if flow.env.get_world_size() > 1 else sums


def _follow(running: flow.Tensor, value: flow.Tensor, momentum: float) -> None:
    """running += momentum (value - running), (C,) each, in a compiled step too.

    There only the operators of an optimizer and of BatchNorm write into what outlives the step. So this is BatchNorm of
    two equal rows, whose mean is `value`; it wants a running variance too, and gets a tensor that nobody reads.
    """
    flow._C.normalization(
        flow.stack([value, value]), running, value + 1.0, value, value,
        axis=1, epsilon=_EPSILON, momentum=momentum, is_training=True,
    )  # fmt: skip
