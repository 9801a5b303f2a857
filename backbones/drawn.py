"""Layers that draw in training: Dropout, paths that are left out, and tokens that are masked.

The host draws their numbers for each image, from (seed, step, record), and feeds them to the step. So they are the same
on any number of ranks and in any micro-batch, in compiled and eager steps, and after a resumption.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import oneflow as flow
from oneflow import nn

from utils.errors import UserError
from utils.random_places import words

KEPT, PLACES = "kept", "places"  # inputs of a step: (B, n) uint8, 0 or 1, and (B, n) int32
_STREAM = 5  # of (seed, step)
_AT_ONCE = 1 << 15  # words that are drawn together, for they stay in the processor's cache


def check_share(name: str, share: float) -> None:
    """Raises UserError unless the option `name` of a network, what share of something is left out, is possible."""
    if not 0 <= share < 1:
        raise UserError(f"{name} = {share} is not possible: it must be a number from 0 to below 1")


class _Hand:
    """What a layer is given for a batch. An object of its own, because in a compiled step a layer is a proxy."""

    numbers: flow.Tensor | None = None


class Drawn:
    """A layer that draws: `columns` numbers of an image in the input `kind`, `pick`ed from `words` random words."""

    kind = KEPT
    training: bool  # of nn.Module

    def _draws(self, columns: int, words: int) -> None:
        self.columns, self.words, self.hand = columns, words, _Hand()

    def pick(self, drawn: np.ndarray) -> np.ndarray:
        """(N, words) uint64 -> (N, columns), uint8 or int32 as `kind` has it."""
        raise NotImplementedError

    def numbers(self, x: flow.Tensor) -> flow.Tensor:
        """(B, columns): what a step has given for a batch x (B, ...). Outside of steps, in eager mode, numbers that
        follow from `flow.manual_seed`.
        """
        if self.hand.numbers is not None:
            return self.hand.numbers
        generator = np.random.default_rng(int(flow.randint(0, 1 << 31, (1,)).numpy()[0]))
        drawn = generator.integers(0, 1 << 64, (x.shape[0], self.words), np.uint64)
        return flow.tensor(self.pick(drawn)).to(x.device)


class Dropout(Drawn, nn.Dropout):
    """Each of the `size` numbers of an image is 0 with probability `share`, and 1 / (1 - share) times as large
    otherwise (Srivastava et al., JMLR 2014). The share is rounded to 1 / 65536.
    """

    any_layout = True

    def __init__(self, share: float, size: int) -> None:
        super().__init__(share)
        self._draws(columns=size, words=-(-size // 4))
        self._dropped = min(round(share * 65536), 65535)

    def pick(self, drawn: np.ndarray) -> np.ndarray:
        return (drawn.view(np.uint16)[:, : self.columns] >= self._dropped).view(np.uint8)

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        if not self.training:
            return x
        factors = self.numbers(x).to(x.dtype) * (65536 / (65536 - self._dropped))
        return x * factors.reshape(x.shape)


class DropPath(Drawn, nn.Module):
    """An image's x is 0 with probability `share`, and 1 / (1 - share) times as large otherwise: stochastic depth
    (Huang et al., ECCV 2016) for what is added to a shortcut.
    """

    any_layout = True

    def __init__(self, share: float) -> None:
        super().__init__()
        self._draws(columns=1, words=1)
        self.share = share

    def pick(self, drawn: np.ndarray) -> np.ndarray:
        return ((drawn >> np.uint64(11)) * 2.0**-53 >= self.share).view(np.uint8)

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        if not self.training:
            return x
        factors = self.numbers(x).to(x.dtype) * (1 / (1 - self.share))
        return x * factors.reshape(x.shape[0], *[1] * (x.ndim - 1))


class TokenMask(Drawn, nn.Module):
    """Leaves int(tokens * (1 - share)) of an image's tokens, at least one, drawn without replacement, in their order
    (He et al., "Masked autoencoders", CVPR 2022). tokens (B, T, d) -> those (B, kept, d), and where each of all tokens
    is among them, (B, T) int32, `kept` if nowhere. In evaluation: all, and None.
    """

    kind = PLACES

    def __init__(self, tokens: int, share: float) -> None:
        super().__init__()
        self.kept = max(int(tokens * (1 - share)), 1)
        self._draws(columns=self.kept + tokens, words=tokens)

    def pick(self, drawn: np.ndarray) -> np.ndarray:
        kept = np.sort(np.argsort(drawn, axis=1, kind="stable")[:, : self.kept], axis=1)
        places = np.full(drawn.shape, self.kept)
        np.put_along_axis(places, kept, np.arange(self.kept)[None], axis=1)
        return np.concatenate([kept, places], axis=1).astype(np.int32)

    def forward(self, tokens: flow.Tensor) -> tuple[flow.Tensor, flow.Tensor | None]:
        if not self.training:
            return tokens, None
        numbers = self.numbers(tokens)
        return flow.batch_gather(tokens, numbers[:, : self.kept]), numbers[:, self.kept :]


def unmask(kept: flow.Tensor, places: flow.Tensor, token: flow.Tensor) -> flow.Tensor:
    """The tokens that `TokenMask` has left, (B, kept, d), at their places (B, T) again, and `token` (1, 1, d) at the
    others: (B, T, d).
    """
    # Like the others it has to be split over the ranks; `expand` would have all ranks hold all tokens.
    own = flow.broadcast_like(token, kept[:, :1], broadcast_axes=(0,))
    return flow.batch_gather(flow.cat([kept, own], dim=1), places)


class Draws:
    """The layers of a network that draw, as it is now: those in training mode."""

    def __init__(self, network: nn.Module) -> None:
        self._layers = [layer for layer in network.modules() if isinstance(layer, Drawn) and layer.training]
        self._words = sum(layer.words for layer in self._layers)

    @property
    def columns(self) -> dict[str, int]:
        """Of each input that they want."""
        kinds = dict.fromkeys(layer.kind for layer in self._layers)
        return {kind: sum(layer.columns for layer in self._layers if layer.kind == kind) for kind in kinds}

    def draw(self, seed: int, step: int, records: np.ndarray) -> dict[str, np.ndarray]:
        """Their numbers for images of records (B,): those of `columns`, (B, n) each."""
        if not self._layers:
            return {}
        start = np.random.SeedSequence([seed, step, _STREAM]).generate_state(1, np.uint64)
        parts = np.array_split(records.astype(np.uint64), -(-len(records) * self._words // _AT_ONCE))
        picked = [self._pick(start, part) for part in parts if len(part)]
        return {kind: np.concatenate([each[kind] for each in picked]) for kind in picked[0]}

    def _pick(self, start: np.ndarray, records: np.ndarray) -> dict[str, np.ndarray]:
        places = records[:, None] * np.uint64(self._words) + np.arange(self._words, dtype=np.uint64)
        drawn, first = words(start, places), 0
        picked: dict[str, list[np.ndarray]] = {kind: [] for kind in self.columns}
        for layer in self._layers:
            picked[layer.kind].append(layer.pick(drawn[:, first : first + layer.words]))
            first += layer.words
        return {kind: np.concatenate(columns, axis=1) for kind, columns in picked.items()}

    @contextmanager
    def given(self, inputs: Mapping[str, flow.Tensor]) -> Iterator[None]:
        """Inside, the layers take what `draw` has drawn for the batch, laid out as the batch is. Raises KeyError if an
        input is missing.
        """
        first = dict.fromkeys(self.columns, 0)
        for layer in self._layers:
            start = first[layer.kind]
            layer.hand.numbers = inputs[layer.kind][:, start : start + layer.columns]
            first[layer.kind] = start + layer.columns
        try:
            yield
        finally:
            for layer in self._layers:
                layer.hand.numbers = None
