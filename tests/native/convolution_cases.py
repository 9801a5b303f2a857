"""Convolutions that oneDNN computes in many different ways, and what NumPy says of them in float64."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Convolution:
    """x: (batch, channels, height, width), weight: (outputs, channels / groups, *kernel)."""

    batch: int
    channels: int
    height: int
    width: int
    outputs: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = False

    def inputs(self) -> list[np.ndarray]:
        rng = np.random.default_rng(self.channels * self.height + self.outputs)
        weight = self.outputs, self.channels // self.groups, *self.kernel
        shapes = [(self.batch, self.channels, self.height, self.width), weight]
        shapes += [(self.outputs,)] if self.bias else []
        return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]

    def size(self) -> tuple[int, int, int, int]:
        """Of the output."""
        pairs = zip((self.height, self.width), self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return self.batch, self.outputs, *[(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in pairs]

    def weights(self) -> np.ndarray:
        return np.random.default_rng(1).standard_normal(self.size()).astype(np.float32)

    def reference(self) -> list[np.ndarray]:
        """y, and the gradients of (y * weights).sum() by x, weight and bias; all float64."""
        x, w, *bias = (array.astype(np.float64) for array in self.inputs())
        dy = self.weights().astype(np.float64)
        (top, left), (high, wide) = self.padding, self.size()[2:]
        padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
        g, per_in, per_out = self.groups, self.channels // self.groups, self.outputs // self.groups
        y, dx, dw = np.zeros(self.size()), np.zeros_like(padded), np.zeros_like(w)
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                rows = slice(
                    i * self.dilation[0], i * self.dilation[0] + (high - 1) * self.stride[0] + 1, self.stride[0]
                )
                columns = slice(
                    j * self.dilation[1], j * self.dilation[1] + (wide - 1) * self.stride[1] + 1, self.stride[1]
                )
                for group in range(g):
                    ins = slice(group * per_in, (group + 1) * per_in)
                    outs = slice(group * per_out, (group + 1) * per_out)
                    seen, tap = padded[:, ins, rows, columns], w[outs, :, i, j]
                    y[:, outs] += np.einsum("bchw,oc->bohw", seen, tap)
                    dw[outs, :, i, j] = np.einsum("bchw,bohw->oc", seen, dy[:, outs])
                    dx[:, ins, rows, columns] += np.einsum("bohw,oc->bchw", dy[:, outs], tap)
        dx = dx[:, :, top : top + self.height, left : left + self.width]
        if bias:
            return [y + bias[0][:, None, None], dx, dw, dy.sum((0, 2, 3))]
        return [y, dx, dw]


CASES = {
    "first layer": Convolution(2, 3, 20, 20, 16),
    "gray": Convolution(2, 1, 20, 20, 16),
    "blocks of channels": Convolution(2, 32, 14, 14, 48),
    "stride": Convolution(2, 16, 14, 14, 32, stride=(2, 2)),
    "odd, stride": Convolution(1, 24, 15, 9, 40, stride=(2, 2)),
    "1x1": Convolution(3, 24, 7, 7, 40, kernel=(1, 1), padding=(0, 0)),
    "1x1, stride": Convolution(2, 16, 9, 9, 32, kernel=(1, 1), padding=(0, 0), stride=(2, 2)),
    "depthwise": Convolution(2, 32, 14, 14, 32, groups=32),
    "depthwise, stride, odd": Convolution(2, 20, 15, 15, 20, groups=20, stride=(2, 2)),
    "depthwise, 5x5": Convolution(2, 24, 14, 14, 24, kernel=(5, 5), padding=(2, 2), groups=24),
    "depthwise, whole image": Convolution(2, 32, 7, 7, 32, kernel=(7, 7), padding=(0, 0), groups=32),
    "depthwise, more outputs": Convolution(2, 8, 9, 9, 16, groups=8),
    "groups": Convolution(2, 32, 10, 10, 64, groups=4),
    "odd groups": Convolution(2, 18, 10, 10, 12, groups=6),
    "bias": Convolution(2, 16, 8, 8, 24, bias=True),
    "depthwise, bias": Convolution(2, 16, 8, 8, 16, groups=16, bias=True),
    "dilation": Convolution(2, 16, 14, 14, 16, dilation=(2, 2), padding=(2, 2)),
    "uneven": Convolution(2, 16, 12, 10, 16, kernel=(3, 5), stride=(1, 2), padding=(0, 2), dilation=(2, 1)),
    "patches": Convolution(2, 3, 18, 18, 32, kernel=(9, 9), stride=(9, 9), padding=(0, 0), bias=True),
    "one image, one pixel": Convolution(1, 16, 1, 1, 32),
    "one pixel, one channel": Convolution(1, 1, 1, 1, 1),
    "2 pixels": Convolution(1, 7, 2, 1, 5),
    "7 pixels": Convolution(2, 5, 7, 1, 3),
    "rows left over": Convolution(2, 8, 10, 10, 8, stride=(3, 3), padding=(0, 0)),
}
