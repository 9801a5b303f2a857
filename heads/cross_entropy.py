"""Cross entropy over logits whose classes may be split over the ranks."""

import oneflow as flow

# exp(z) summed over 1e8 classes stays inside float32 while |z| is at most this, so no maximum need be taken first.
SAFE_LOGIT = 64.0


def split_cross_entropy(logits: flow.Tensor, target: flow.Tensor, bound: float) -> flow.Tensor:
    """Mean of ``logsumexp(logits) - target`` from plain operators, on any device.

    logits: (B, C), S(1) over classes or S(0) over the batch, float32, each at most `bound`, and not all of a row below
    -bound; target: (B, 1) each row's own logit. Returns a scalar, the mean over the global batch. Only a sum (and with
    a larger bound a maximum) per row crosses the ranks, never the logits.
    """
    if bound <= SAFE_LOGIT:
        log_total = flow.log(flow.exp(logits).sum(dim=1, keepdim=True))
    else:
        peak = logits.detach().amax(dim=1, keepdim=True)
        log_total = flow.log(flow.exp(logits - peak).sum(dim=1, keepdim=True)) + peak
    return (log_total - target).mean()


def fused_cross_entropy(logits: flow.Tensor, labels: flow.Tensor) -> flow.Tensor:
    """The same mean from OneFlow's fused kernel, which takes logits S(1) and labels (B,) broadcast as they are.

    For CUDA and nn.Graph: on CPU the kernel is ten times slower than the plain operators, and in eager mode it is
    wrong on S(1) logits (it saturates at 46.05).
    """
    return flow._C.sparse_softmax_cross_entropy(logits, labels).mean()
