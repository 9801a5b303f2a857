"""Backbones by name: `@register("r50", stages=...)` on a builder, `get_model("r50")` for a network."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from inspect import signature
from pathlib import Path

from oneflow import nn

from utils.config.grammar import check_call, parse_call, read_signatures
from utils.errors import UserError
from utils.pixels import USUAL_SHAPE, ImageShape

Builder = Callable[..., nn.Module]

FOLDER = Path(__file__).parent
_builders: dict[str, partial] = {}


@dataclass(frozen=True)
class Sizes:
    """What a network takes and gives: images (B, channels, height, width) to embeddings (B, embedding)."""

    embedding: int = 512
    image: ImageShape = USUAL_SHAPE

    @property
    def height(self) -> int:
        return self.image.height

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def channels(self) -> int:
        return self.image.channels

    def final_map(self, halvings: int) -> tuple[int, int]:
        """Height and width after so many layers of stride 2, each of which rounds up."""
        height, width, _ = self.image
        for _ in range(halvings):
            height, width = (height + 1) // 2, (width + 1) // 2
        return height, width


def register(name: str, **fixed) -> Callable[[Builder], Builder]:
    """Makes the decorated `builder(sizes, dropout, ...) -> nn.Module` known as `name`; `fixed` are arguments of it.

    What of its other parameters has a default, a literal, is an option that users may write: `name(option=value)`.
    Names may be stacked. Raises ValueError if the name is taken.
    """

    def add(builder: Builder) -> Builder:
        if name in _builders:
            raise ValueError(f"a backbone named {name!r} is registered already")
        _builders[name] = partial(builder, **fixed)
        return builder

    return add


def list_models() -> list[str]:
    """Every registered name, in order."""
    return sorted(_builders)


_TRAINING_ONLY = {"drop_path", "mask", "bn_momentum"}  # options that change neither tensors nor embeddings


def same_network(one: str, other: str) -> bool:
    """Whether two names with options stand for networks that compute the same of the same weights."""
    return one == other or _computed(one) == _computed(other)


def _computed(network: str) -> tuple[Callable | None, dict]:
    name, options = parse_call(network)
    if name not in _builders:
        return None, {}
    builder = _builders[name]
    defaults = {key: p.default for key, p in signature(builder.func).parameters.items() if p.default is not p.empty}
    stated = {**defaults, **builder.keywords, **options}
    return builder.func, {key: value for key, value in stated.items() if key not in _TRAINING_ONLY}


def get_model(
    network: str, embedding_size: int = 512, dropout: float = 0.0, image: ImageShape = USUAL_SHAPE
) -> nn.Module:
    """A freshly initialized backbone: images (B, channels, height, width) in [-1, 1] to embeddings (B, embedding_size).

    network: a name, or one with options, such as "mobilenet_v2(output='gdc')". `dropout` is the probability, in [0, 1),
    before the last fully connected layer. Raises UserError if there is no such network or option, or if the network
    cannot take images of that size.
    """
    name = network.partition("(")[0].strip()
    if name not in _builders:
        nearest = get_close_matches(name, _builders, n=1, cutoff=0.0)[0]
        raise UserError(f"there is no backbone {name!r}, did you mean {nearest!r}? Known: {', '.join(list_models())}")
    if "(" in network:
        check_call(network, read_signatures(FOLDER), "network", "")
    return _builders[name](Sizes(embedding_size, image), dropout, **parse_call(network)[1])


def with_option(network: str, option: str, value: object) -> str:
    """`network` with `option=value` in place of its own; as it is if networks of its name have no such option.

    Raises UserError if there is no such network, or it has an option that is not.
    """
    name = network.partition("(")[0].strip()
    signatures = read_signatures(FOLDER)
    if "(" in network:
        check_call(network, signatures, "network", "")
    if option not in signatures.get(name, {}):
        return network
    options = parse_call(network)[1] | {option: value}
    return f"{name}({', '.join(f'{key}={each!r}' for key, each in options.items())})"
