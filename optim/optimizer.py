"""What an optimizer is asked for: the update of whole tensors, by OneFlow's operators, and that of some rows."""

import numpy as np
import oneflow as flow

from native.centers import SgdSettings


class Optimizer:
    """How weights move by their gradient. A subclass is the formula, in two forms.

    For whole tensors, the backbone's, it names OneFlow's operator, which runs eagerly (optim/eager.py) and in the
    compiled step (optim/compiled.py). For the rows of class centers that a step trains, `update` is written out, for
    arrays of NumPy and tensors of OneFlow alike. Both take the rate and the weight decay from outside, since parameters
    may differ in them.

    slots: what it keeps for each weight, of the same shape, zeros at first; the names are those of the operator's
    inputs and of checkpoints ("backbone.conv1.weight/momentum"). decoupled: weight decay shrinks the weights beside
    the step (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019), or else is part of the
    gradient, L2. row_wise: rows can be trained apart from others, as class centers are.
    """

    name: str
    operator: str
    slots: tuple[str, ...] = ()
    decoupled = False
    row_wise = True
    weight_decay = 0.0

    def attributes(self, step: int) -> dict[str, float | bool]:
        """Of the operator, for the update after `step` others, besides rate and weight decay."""
        return {}

    def in_graph(self, groups: list[dict]) -> flow.optim.Optimizer:
        """OneFlow's optimizer with this formula, a rate of 1 and no weight decay: optim/compiled.py sets both."""
        raise NotImplementedError

    def decay(self, weight_decay: float) -> dict[str, float]:
        """The operator's attribute for a weight decay."""
        return {"weight_decay" if self.decoupled else "l2": weight_decay}

    def update(self, w, slots: tuple, gradient, lr: float, step: int) -> tuple:
        """(w, slots) after an update that `step` others went before; all (rows, ...) float32.

        Rows that are left out keep weights and slots as they are. The arguments may be overwritten.
        """
        raise NotImplementedError

    def sgd_settings(self, lr: float) -> SgdSettings | None:
        """What `native/` needs for `update`, if this is stochastic gradient descent."""
        return None

    def catch_up(self, gaps: np.ndarray, lr: float) -> np.ndarray | None:
        """The matrices (len(gaps), 2, 2) float32 that take a row's (w, slot) over `gaps` steps without a gradient (none
        below 0), as if the row had been there; None if there is no such closed form.
        """
        return None
