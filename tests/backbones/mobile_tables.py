"""Tables of names and shapes that the mobile families share: what conv_norm and the blocks of backbones/blocks.py are
made of, and the output "gdc"."""

import math

from tests.backbones.tables import conv, norm


def eights(channels):
    """The nearest multiple of 8, or the one above it if that is less than 90 %."""
    near = 8 * math.floor(channels / 8 + 0.5)
    return near + 8 if near < 0.9 * channels else near


def conv_norm(name, outs, ins, kernel=1, slopes=False):
    """ins: of one group; slopes: those of PReLU."""
    table = conv(f"{name}.0", outs, ins, kernel) | norm(f"{name}.1", outs)
    return table | {f"{name}.2.weight": (outs,)} if slopes else table


def excite(name, channels, hidden):
    return conv(f"{name}.fc1", hidden, channels, bias=True) | conv(f"{name}.fc2", channels, hidden, bias=True)


def inverted_residual(name, ins, hidden, outs, kernel=3, squeezed=0, slopes=False):
    """squeezed: channels of the squeeze-and-excite before the last convolution, if it has one."""
    parts = [] if hidden == ins else [lambda part: conv_norm(part, hidden, ins, slopes=slopes)]
    parts.append(lambda part: conv_norm(part, hidden, 1, kernel, slopes))
    parts += [lambda part: excite(part, hidden, squeezed)] if squeezed else []
    parts.append(lambda part: conv_norm(part, outs, hidden))
    return {key: shape for number, part in enumerate(parts) for key, shape in part(f"{name}.block.{number}").items()}


def gdc(channels, height, width, embedding):
    table = {"output.0.weight": (channels, 1, height, width)} | norm("output.1", channels)
    return table | {"output.3.weight": (embedding, channels)} | norm("output.4", embedding)
