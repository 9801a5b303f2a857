"""The training step in eager mode: a data-parallel backbone of local tensors under the same global head."""

import numpy as np
import oneflow as flow
from oneflow.nn.parallel import DistributedDataParallel
from oneflow.optim import Optimizer

from engine.model import Classifier
from engine.schedule import Schedule
from utils.runtime import Runtime, local_array


class EagerStep:
    """The step of `GraphStep`, run operator by operator: the same losses, weights and state to rounding.

    Each rank's backbone is local, and DDP averages its gradients. Between backbone and head the embeddings become
    global, (B, E) S(0), so that the class centers are split over the ranks as in graph mode. BatchNorm's buffers stay
    each rank's own, as there.
    """

    def __init__(
        self, model: Classifier, optimizer: Optimizer, schedule: Schedule, runtime: Runtime, gradient_acc: int = 1
    ) -> None:
        self._model, self._optimizer, self._schedule = model, optimizer, schedule
        self._runtime, self._gradient_acc = runtime, gradient_acc
        self._step = 0
        self._backbone = model.backbone
        if runtime.ranks > 1 and not model.frozen:
            self._backbone = DistributedDataParallel(model.backbone, broadcast_buffers=False)
        self._scales = [group["lr"] / schedule.lr for group in optimizer.param_groups]
        # The optimizer numbers its parameters in the order it was given them.
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._names = [names[id(p)] for group in optimizer.param_groups for p in group.parameters]

    @property
    def trains(self) -> bool:
        """As `GraphStep.trains`."""
        return bool(self._names)

    def run(self, images: np.ndarray, labels: np.ndarray, state: dict[str, flow.Tensor]) -> dict:
        """This rank's rows, images (B / ranks, 3, 112, 112) and labels (B / ranks,), state of the loss as for
        `TrainGraph` -> the outputs of `TrainGraph`, but losses are means over all micro-batches.
        """
        for group, scale in zip(self._optimizer.param_groups, self._scales, strict=True):
            group["lr"] = self._schedule.at(self._step) * scale
        acc = self._gradient_acc
        micro = [
            self._backward(*batch, {name: values[i : i + 1] for name, values in state.items()})
            for i, batch in enumerate(zip(np.split(images, acc), np.split(labels, acc), strict=True))
        ]
        for group in self._optimizer.param_groups:
            if "clip_grad_max_norm" in group:
                flow.nn.utils.clip_grad_norm_(
                    group.parameters, group["clip_grad_max_norm"], group["clip_grad_norm_type"]
                )
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._step += 1
        losses, states, results = ([outputs[kind] for outputs in micro] for kind in ("losses", "state", "results"))
        return {
            "losses": {name: sum(each[name].detach() for each in losses) / acc for name in losses[0]},
            "state": {name: flow.cat([each[name] for each in states]) for name in state},
            "results": tuple(flow.cat(parts, dim=0) for parts in zip(*results, strict=True)),
        }

    def _backward(self, images: np.ndarray, labels: np.ndarray, state: dict[str, flow.Tensor]) -> dict:
        runtime = self._runtime
        embedding = self._backbone(flow.tensor(images).to(runtime.device))
        if self._model.frozen:
            embedding = embedding.detach()
        elif runtime.ranks > 1:
            # The loss is the mean over all ranks already; DDP's average would divide by their number again.
            embedding.register_hook(lambda gradient: gradient * float(runtime.ranks))
        rows = embedding.to_global(placement=runtime.placement, sbp=flow.sbp.split(0))
        objective, outputs = self._model.head(rows, runtime.split_batch(labels), state)
        if objective.requires_grad:
            (objective / self._gradient_acc).backward()
        return outputs

    def updates(self) -> int:
        """As `GraphStep.updates`; it leaves none out, but may go on from a compiled step that did."""
        return self._step

    def state(self) -> dict[str, np.ndarray]:
        """As `GraphStep.state`."""
        state = self._optimizer.state_dict()["state"]
        held = {name: state[number] for number, name in enumerate(self._names) if state[number]}
        momentum = {name: local_array(buffers["momentum_buf"]) for name, buffers in held.items()}
        return momentum | {"updates": np.array([self._step])}

    def restore(self, step: int, state: dict[str, np.ndarray]) -> None:
        """As `GraphStep.restore`."""
        loaded = self._optimizer.state_dict()
        for number, name in enumerate(self._names):
            if name in state:  # else it was not trained until now
                loaded["state"][number] = {"momentum_buf": flow.from_numpy(state[name])}
        self._optimizer.load_state_dict(loaded)
        self._step = int(state["updates"][0]) if "updates" in state else step  # its schedule's, as the compiled one's
