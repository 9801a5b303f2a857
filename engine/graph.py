"""The training step as one compiled graph."""

import numpy as np
import oneflow as flow
from oneflow import nn
from oneflow.amp import GradScaler
from oneflow.optim import Optimizer

from engine.schedule import Schedule
from utils.runtime import Runtime, local_array

# nn.Graph's own names for what it keeps besides the model
_MOMENTUM, _STEP = "-momentum", "System-Train-TrainStep"


class TrainGraph(nn.Graph):
    """Forward, loss, backward and update of a global batch, compiled at the first call.

    model: a `Classifier` with global parameters. images: (B, 3, 112, 112) float32 S(0), labels: (B,) int64 S(0); B
    counts all micro-batches of all ranks. Returns what the model does but the objective: the loss, a partial-sum
    scalar, or one per micro-batch (gradient_acc,), and what its head adds, of all micro-batches one below the other;
    the micro-batches' gradients are averaged. fp16: automatic mixed precision with a dynamic loss scale (CUDA only).
    An optimiser without parameters leaves only the forward pass.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: flow.optim.lr_scheduler._LRScheduler,
        gradient_acc: int = 1,
        fp16: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self._trains = any(group.parameters for group in optimizer.param_groups)
        if self._trains:
            self.add_optimizer(optimizer, lr_sch=scheduler)
        self.config.allow_fuse_add_to_output(True)
        self.config.allow_fuse_model_update_ops(True)
        self.config.allow_fuse_cast_scale(True)
        if gradient_acc > 1:
            self.config.set_gradient_accumulation_steps(gradient_acc)
        if fp16:
            self.config.enable_amp(True)
        if fp16 and self._trains:
            self.set_grad_scaler(GradScaler(init_scale=2.0**15, growth_factor=2.0, backoff_factor=0.5))

    def build(self, images: flow.Tensor, labels: flow.Tensor) -> tuple[flow.Tensor, ...]:
        objective, *found = self.model(images, labels)
        if self._trains:
            objective.backward()
        return tuple(found)


class GraphStep:
    """`TrainGraph` as the trainer uses it: a step to call, and optimiser state to save and restore.

    State is each rank's share as host arrays, named by parameter ("backbone.conv1.weight": its momentum); what else
    the compiled step keeps (under AMP the loss scale) goes by OneFlow's own names.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: Schedule,
        runtime: Runtime,
        gradient_acc: int = 1,
        fp16: bool = False,
    ) -> None:
        self._graph = TrainGraph(model, optimizer, schedule.attach(optimizer), gradient_acc, fp16)
        self._parameters = dict(model.named_parameters())
        self._runtime = runtime

    def __call__(self, images: np.ndarray, labels: np.ndarray, upcoming: np.ndarray | None = None) -> flow.Tensor:
        """This rank's rows, images (B / ranks, 3, 112, 112) and labels (B / ranks,) -> the loss as `TrainGraph`'s.

        upcoming: the labels of the next batch, for steps that prepare it (`SampledStep`); not needed here.
        """
        return self.run(images, labels)[0]

    def run(self, images: np.ndarray, labels: np.ndarray) -> list[flow.Tensor]:
        """The step; returns what `TrainGraph` does."""
        return list(self._graph(self._runtime.split_batch(images), self._runtime.split_batch(labels)))

    def state(self) -> dict[str, np.ndarray]:
        """The optimiser's state; empty before the first step."""
        found = {}
        for name, tensor in self._graph.state_dict().items():
            if name.endswith(_MOMENTUM):
                found[name.removeprefix("model.").removesuffix(_MOMENTUM)] = local_array(tensor)
            elif name != "model":
                found[name] = local_array(tensor)
        return found

    def restore(self, step: int, state: dict[str, np.ndarray]) -> None:
        """Goes on after `step` steps; only before the first call. `state` as `state()` gave it."""
        # nn.Graph keeps its step and loss scale on the first rank's host, also on CUDA (auto_train_step.cpp and
        # dynamic_loss_scale_schedule_pass.cpp of OneFlow). Under a loss scale its step counts updates, not batches.
        host = {"placement": flow.placement("cpu", ranks=[0]), "sbp": flow.sbp.broadcast}
        loaded = {}
        for name, array in ({_STEP: np.array([step])} | state).items():
            parameter = self._parameters.get(name)
            if parameter is None:
                loaded[name] = flow.tensor(array, **host)
            else:
                share = flow.from_numpy(array).to_global(placement=self._runtime.placement, sbp=parameter.sbp)
                loaded[f"model.{name}{_MOMENTUM}"] = share
        self._graph.load_state_dict(loaded)
