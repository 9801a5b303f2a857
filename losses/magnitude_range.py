"""From measured magnitudes to MagFace's range: what a model is fine-tuned with (Meng et al., CVPR 2021)."""

import math
from dataclasses import dataclass

import numpy as np

from losses.magface import MagCosFace
from utils.errors import UserError

_ROOM = 0.1  # of the smallest and of the largest magnitude, below and above which the range ends


@dataclass(frozen=True)
class MagFaceRange:
    """l_a, u_a: the magnitudes between which the margin grows from l_m to u_m. s: the scale of the logits."""

    l_a: float
    u_a: float
    l_m: float
    u_m: float
    s: float

    @property
    def least_lambda(self) -> float:
        """Below this weight of the penalty, magnitudes may fall to l_a; the same in either form of the margin."""
        return MagCosFace(self.l_a, self.u_a, self.l_m, self.u_m, s=self.s).least_lambda

    @property
    def proposed_lambda(self) -> float:
        """The bound, rounded up to two digits."""
        return _two_digits(self.least_lambda, math.ceil)

    def loss(self, name: str, lambda_g: float) -> str:
        """As a config and the command line have it; name: magface or magcosface."""
        stated = {"l_a": self.l_a, "u_a": self.u_a, "l_m": self.l_m, "u_m": self.u_m, "lambda_g": lambda_g, "s": self.s}
        return f"{name}({', '.join(f'{key}={value:g}' for key, value in stated.items())})"


def propose_range(magnitudes: np.ndarray, l_m: float, u_m: float, s: float) -> MagFaceRange:
    """A range around all magnitudes (N,): a tenth below the smallest and above the largest, rounded outward to two
    digits.

    Raises UserError for a magnitude of 0, and unless 0 < l_m < u_m and s > 0.
    """
    if not 0 < l_m < u_m:
        raise UserError(f"l_m = {l_m:g} and u_m = {u_m:g} are not possible: 0 < l_m < u_m is asked for")
    if not 0 < s < math.inf:
        raise UserError(f"s = {s:g} is not possible: the scale of the logits is above 0")
    smallest, largest = float(magnitudes.min()), float(magnitudes.max())
    if not smallest > 0:
        raise UserError("an embedding has magnitude 0, so that no range begins below it; the model is not trained")
    return MagFaceRange(
        _two_digits(smallest * (1 - _ROOM), math.floor), _two_digits(largest * (1 + _ROOM), math.ceil), l_m, u_m, s
    )


def _two_digits(value: float, rounded) -> float:
    digits = 1 - math.floor(math.log10(value))
    return round(rounded(value * 10.0**digits) / 10.0**digits, max(digits, 0))
