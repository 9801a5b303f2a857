"""An optimizer at work on the parameters of an eager step."""

from collections.abc import Mapping

import numpy as np
import oneflow as flow

from optim.optimizer import Optimizer
from optim.parameters import ParameterRules
from utils.runtime import local_array


class EagerUpdate:
    """Updates local tensors by the operators that the compiled step has.

    parameters: by name, those to train. clip: the largest L2 norm of all their gradients together, whatever their
    rates (0: any). State is named "NAME/SLOT".
    """

    def __init__(
        self, optimizer: Optimizer, parameters: Mapping[str, flow.Tensor], rules: ParameterRules, clip: float
    ) -> None:
        self._optimizer, self._parameters, self._clip = optimizer, dict(parameters), clip
        self._terms = {name: rules.terms(name, tensor.ndim) for name, tensor in self._parameters.items()}
        self._slots: dict[str, tuple[flow.Tensor, ...]] = {}
        operator = flow.stateful_op(optimizer.operator).Input("model").Input("model_diff")
        for slot in optimizer.slots:
            operator = operator.Input(slot)
        self._operator = operator.Build()
        self._dispatch = getattr(flow._C, f"dispatch_{optimizer.operator}")

    def step(self, lr: float, updates: int) -> None:
        """The update after `updates` others. Gradients are set to 0."""
        if not self._parameters:
            return
        if self._clip:
            flow.nn.utils.clip_grad_norm_(list(self._parameters.values()), self._clip)
        attributes = self._optimizer.attributes(updates)
        with flow.no_grad():
            for name, parameter in self._parameters.items():
                if parameter.grad is None:
                    continue
                if name not in self._slots:
                    self._slots[name] = tuple(flow.zeros_like(parameter) for _ in self._optimizer.slots)
                terms = self._terms[name]
                self._dispatch(
                    self._operator,
                    (parameter, parameter.grad, *self._slots[name]),
                    learning_rate=lr * terms.rate,
                    **self._optimizer.decay(terms.weight_decay),
                    **attributes,
                )
                parameter.grad.zero_()

    def state(self) -> dict[str, np.ndarray]:
        """Empty before the first update."""
        return {
            f"{name}/{slot}": local_array(tensor)
            for name, tensors in self._slots.items()
            for slot, tensor in zip(self._optimizer.slots, tensors, strict=True)
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """A parameter without state begins from scratch."""
        for name, parameter in self._parameters.items():
            wanted = [f"{name}/{slot}" for slot in self._optimizer.slots]
            if all(key in state for key in wanted):
                self._slots[name] = tuple(flow.tensor(state[key]).to(parameter.device) for key in wanted)
