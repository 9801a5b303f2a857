"""The training step in eager mode: a data-parallel backbone of local tensors under the same global head."""

from collections.abc import Mapping

import numpy as np
import oneflow as flow

from engine.model import NETWORK_INPUTS, Classifier
from optim.eager import EagerUpdate
from optim.optimizer import Optimizer
from optim.parameters import ParameterRules
from utils.runtime import Runtime


class EagerStep:
    """The step of `GraphStep`, run operator by operator: the same losses, weights and state to rounding.

    Each rank's backbone is local, and its gradients are summed over the ranks once a step, after all micro-batches
    (OneFlow's DistributedDataParallel does it for each, and cannot be taken off for another phase). Between backbone
    and head the embeddings become global, (B, E) S(0), so that the class centers are split over the ranks as in graph
    mode. BatchNorm's buffers stay each rank's own, as there.
    """

    def __init__(
        self,
        model: Classifier,
        optimizer: Optimizer,
        rules: ParameterRules,
        runtime: Runtime,
        clip: float = 0.0,
        gradient_acc: int = 1,
    ) -> None:
        self._model, self._runtime, self._gradient_acc = model, runtime, gradient_acc
        trained = rules.trained(model)
        self._update, self._updates = EagerUpdate(optimizer, trained, rules, clip), 0
        self._trained, self.trains = list(trained.values()), bool(trained)

    def run(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        state: dict[str, flow.Tensor],
        inputs: dict[str, np.ndarray],
        lr: float,
    ) -> dict:
        """This rank's rows as for `GraphStep.run`, state of the loss as for `TrainGraph` -> the outputs of
        `TrainGraph`, but losses are means over all micro-batches.
        """
        acc, runtime = self._gradient_acc, self._runtime
        parts = {name: np.split(rows, acc) for name, rows in inputs.items()}
        micro = [
            self._backward(
                *batch,
                {name: values[i : i + 1] for name, values in state.items()},
                {name: part[i] for name, part in parts.items()},
            )
            for i, batch in enumerate(zip(np.split(images, acc), np.split(labels, acc), strict=True))
        ]
        if runtime.ranks > 1:
            _sum_gradients(self._trained)
        self._update.step(lr, self._updates)
        self._updates += self.trains
        losses, states, results = ([outputs[kind] for outputs in micro] for kind in ("losses", "state", "results"))
        return {
            "losses": {name: sum(each[name].detach() for each in losses) / acc for name in losses[0]},
            "state": {name: flow.cat([each[name] for each in states]) for name in state},
            "results": {name: flow.cat([each[name] for each in results], dim=0) for name in results[0]},
        }

    def _backward(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        state: dict[str, flow.Tensor],
        inputs: dict[str, np.ndarray],
    ) -> dict:
        runtime = self._runtime
        own = {name: flow.tensor(rows).to(runtime.device) for name, rows in inputs.items() if name in NETWORK_INPUTS}
        embedded = self._model.embed(flow.tensor(images).to(runtime.device), own)
        shared = {name: runtime.split_batch(rows) for name, rows in inputs.items() if name not in NETWORK_INPUTS}
        split = {"placement": runtime.placement, "sbp": flow.sbp.split(0)}
        rows = {name: values.to_global(**split) for name, values in embedded.items()}
        objective, outputs = self._model.objective(rows, runtime.split_batch(labels), state, shared)
        if objective.requires_grad:
            (objective / self._gradient_acc).backward()
        return outputs

    def updates(self) -> int:
        """As `GraphStep.updates`; it leaves none out."""
        return self._updates

    def state(self) -> dict[str, np.ndarray]:
        """As `GraphStep.state`."""
        return self._update.state() | ({"updates": np.array([self._updates])} if self.trains else {})

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """As `GraphStep.restore`."""
        self._update.restore(state)
        self._updates = int(state["updates"][0]) if "updates" in state else 0


def _sum_gradients(parameters: list[flow.Tensor], bucket: int = 1 << 22) -> None:
    """Over the ranks, in place; many small ones travel together, `bucket` numbers or one parameter at a time.

    The loss is the mean over all ranks' rows already, so that their gradients add up to its own. A collective.
    """
    waiting: list[flow.Tensor] = []
    for parameter in [*parameters, None]:
        full = parameter is None or sum(held.numel() for held in waiting) + parameter.numel() > bucket
        if waiting and full:
            flat = flow.cat([held.grad.reshape(-1) for held in waiting])
            flow._C.local_all_reduce(flat, inplace=True)
            for held, part in zip(waiting, flow.split(flat, [held.numel() for held in waiting]), strict=True):
                held.grad.copy_(part.reshape(held.shape))
            waiting = []
        if parameter is not None and parameter.grad is not None:
            waiting.append(parameter)
