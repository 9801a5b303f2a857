"""A loss of your own. Copy this file into losses/ and train with it:

cp examples/add_a_loss.py losses/steep.py
./train_graph_distributed.sh demo 'loss=steep(m=0.3, w=0.5)'

Run as it is, the file compares the derivative with finite differences, as tests/losses does for every loss. What else a
loss can have (state, penalties, learned margins, a say in other classes' logits) is in docs/losses.md.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

    from utils.environment import enter_environment

    enter_environment()

import oneflow as flow

from losses.margin import Margin, Rows, ones_like
from losses.registry import register


@register("steep")
class Steep(Margin):
    """CosFace whose target counts more the farther it is from its center: c - m - w (1 - c).

    m: the margin of a face at its center; w: how much more a unit of cosine counts; s: the scale of the logits.
    """

    def __init__(self, m: float = 0.3, w: float = 0.5, s: float = 64.0) -> None:
        self.scale, self.m, self.w = s, m, w

    def target(self, rows: Rows) -> flow.Tensor:
        return rows.cosine - self.m - (1 - rows.cosine) * self.w

    def slope(self, rows: Rows) -> flow.Tensor:  # the derivative of `target` by the cosine, which the head goes by
        return ones_like(rows.cosine) * (1 + self.w)

    @property
    def bound(self) -> float:  # the largest size of a logit, by which the head knows whether exp could overflow
        return self.scale * (1 + self.m + 2 * self.w)


def main() -> None:
    margin, cosines, step = Steep(), [-0.8, 0.0, 0.6, 0.95], 1e-2

    def rows(shift: float) -> Rows:
        cosine = flow.tensor([[c + shift] for c in cosines])
        return Rows(cosine, norm=ones_like(cosine), state={})

    slopes = margin.slope(rows(0)).numpy().ravel()
    differences = (margin.target(rows(step)) - margin.target(rows(-step))).numpy().ravel() / (2 * step)
    for cosine, slope, difference in zip(cosines, slopes, differences, strict=True):
        print(f"cosine {cosine:5.2f}: slope {slope:.4f}, by finite differences {difference:.4f}")
        if abs(slope - difference) > 1e-3:
            raise SystemExit("slope() is not the derivative of target()")


if __name__ == "__main__":
    main()
