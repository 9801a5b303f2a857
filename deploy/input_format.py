"""What a network takes for pixels, in a grammar that config.json, the metadata of ONNX models and options share.

    RGB, 112x112, (x / 255 - 0.5) / 0.5, NCHW float32
    NHWC, BGR, (x - [103.9, 116.8, 123.7]) / 128
    gray, 96x80

A size is height by width; images of another size are scaled (utils/pixels.py). The words stand in any order, and what
is left out is as in the first line. x is a pixel's value, 0 to 255; a list holds a number for each channel, in the
order in which the network takes them.
"""

import ast
import operator
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from utils.errors import UserError
from utils.pixels import USUAL_SHAPE, ImageShape, all_fitted

_COLORS, _LAYOUTS, _TYPES = ("RGB", "BGR", "gray"), ("NCHW", "NHWC"), ("float32", "float16", "uint8")
_TERMS = re.compile(r",(?![^\[(]*[\])])")  # commas outside brackets
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_LONGEST = 200  # characters of an expression

_Numbers = np.ndarray | np.float64  # one for each channel, or one for all


@dataclass(frozen=True)
class InputFormat:
    """color: RGB, BGR or gray; layout: NCHW or NHWC; expression: of x, a pixel's value 0 ... 255, linear; size: height
    and width.
    """

    color: str = "RGB"
    layout: str = "NCHW"
    expression: str = "(x / 255 - 0.5) / 0.5"
    size: tuple[int, int] = USUAL_SHAPE[:2]

    def __str__(self) -> str:
        return f"{self.color}, {self.size[0]}x{self.size[1]}, {self.expression}, {self.layout} float32"

    @property
    def shape(self) -> ImageShape:
        return ImageShape(*self.size, 1 if self.color == "gray" else 3)

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """Of one image, as the network takes it."""
        height, width, channels = self.shape
        return (channels, height, width) if self.layout == "NCHW" else (height, width, channels)

    @cached_property
    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """(scale, shift), each (1,) or (3,) float64, of `scale * x + shift`. Raises UserError if there is no such."""
        return _affine(self.expression)

    @cached_property
    def mean_and_std(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean, std), each (1,) or (3,) float32, of `(x - mean) / std`."""
        scale, shift = self.affine
        return (-shift / scale + 0.0).astype(np.float32), (1 / scale).astype(np.float32)

    def is_pixels(self, other: "InputFormat") -> bool:
        """Whether both give a network the same numbers in the same channels; layout and size may differ."""
        same = (np.allclose(a, b, rtol=1e-6, atol=1e-6) for a, b in zip(self.affine, other.affine, strict=True))
        return self.color == other.color and all(same)

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Images (N, H, W, 3) uint8 RGB, of any size, as the network takes them, (N, *tensor_shape) float32."""
        mean, std = self.mean_and_std
        images = all_fitted(images, self.shape)
        pixels = images[..., ::-1] if self.color == "BGR" else images
        pixels = (pixels.astype(np.float32) - mean) / std
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) if self.layout == "NCHW" else pixels)


OWN = InputFormat()  # what training gives the networks here


def own_format(shape: ImageShape) -> InputFormat:
    """What training gives a network of that shape."""
    return InputFormat(color="RGB" if shape.channels == 3 else "gray", size=(shape.height, shape.width))


def parse_input(text: str, default: InputFormat = OWN) -> InputFormat:
    """What `text` says, and `default` for the rest. Raises UserError naming what cannot be read or does not fit."""
    said: dict[str, str] = {}
    for term in filter(None, map(str.strip, _TERMS.split(text))):
        for key, value in _read(term):
            if said.setdefault(key, value) != value:
                raise UserError(f"input {text!r} says {said[key]} and {value}")
    stated = InputFormat(
        said.get("color", default.color),
        said.get("layout", default.layout),
        said.get("expression", default.expression),
        _size(said["size"]) if "size" in said else default.size,
    )
    _affine(stated.expression)  # raises if it is none
    return stated


def _read(term: str) -> list[tuple[str, str]]:
    """(what is said, the word for it): of a term of words several."""
    words = term.split()
    kinds = {**dict.fromkeys(_COLORS, "color"), **dict.fromkeys(_LAYOUTS, "layout"), **dict.fromkeys(_TYPES, "type")}
    if all(word in kinds for word in words):
        return [(kinds[word], word) for word in words]
    if re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}", term):
        return [("size", term)]
    return [("expression", term)]


def _size(words: str) -> tuple[int, int]:
    height, _, width = words.partition("x")
    return int(height), int(width)


def _affine(expression: str) -> tuple[np.ndarray, np.ndarray]:
    what = f"input {expression!r} is neither a color ({', '.join(_COLORS)}), a layout ({', '.join(_LAYOUTS)}) nor"
    sentence = f"{what} an expression such as (x - 127.5) / 128, linear in x"
    try:
        if len(expression) > _LONGEST:
            raise ValueError
        scale, shift = _evaluate(ast.parse(expression.strip(), mode="eval").body)
        scale, shift = np.broadcast_arrays(np.atleast_1d(scale), np.atleast_1d(shift))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise UserError(sentence) from None
    if scale.shape not in ((1,), (3,)) or not (np.isfinite(scale).all() and np.isfinite(shift).all() and scale.all()):
        raise UserError(sentence)
    return scale, shift


def _evaluate(node: ast.expr) -> tuple[_Numbers, _Numbers]:
    """(scale, shift) of an expression. Raises ValueError if it is not linear."""
    if isinstance(node, ast.Name) and node.id == "x":
        return np.float64(1), np.float64(0)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        scale, shift = _evaluate(node.operand)
        return -scale, -shift
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _combine(node, _evaluate(node.left), _evaluate(node.right))
    value = ast.literal_eval(node)
    if not all(isinstance(number, (int, float)) for number in (value if isinstance(value, (list, tuple)) else [value])):
        raise ValueError
    return np.float64(0), np.asarray(value, np.float64)


def _combine(
    node: ast.BinOp, left: tuple[_Numbers, _Numbers], right: tuple[_Numbers, _Numbers]
) -> tuple[_Numbers, _Numbers]:
    apply = _OPERATORS[type(node.op)]
    if isinstance(node.op, (ast.Add, ast.Sub)):
        return apply(left[0], right[0]), apply(left[1], right[1])
    if isinstance(node.op, ast.Mult) and np.any(right[0]):
        left, right = right, left
    if np.any(right[0]) or (isinstance(node.op, ast.Div) and not np.all(right[1])):
        raise ValueError("not linear")
    return apply(left[0], right[1]), apply(left[1], right[1])
