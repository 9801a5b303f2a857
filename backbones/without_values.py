"""Networks of which only names and shapes are asked."""

from collections.abc import Iterator
from contextlib import contextmanager

from oneflow import nn


@contextmanager
def without_values() -> Iterator[None]:
    """Networks that are built in here have tensors nobody has written to, which cost neither time nor memory."""
    drawing = {name: each for name, each in vars(nn.init).items() if name.endswith("_") and callable(each)}
    drawing = {name: each for name, each in drawing.items() if not name.startswith("_")}
    for name in drawing:
        setattr(nn.init, name, lambda tensor, *_, **__: tensor)
    try:
        yield
    finally:
        for name, each in drawing.items():
            setattr(nn.init, name, each)
