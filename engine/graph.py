"""The training step as one compiled graph."""

import numpy as np
import oneflow as flow
from oneflow import nn
from oneflow.amp import GradScaler
from oneflow.optim import Optimizer

from engine.schedule import Schedule
from utils.runtime import Runtime, local_array

# nn.Graph's own names for what it keeps besides the model; those of the loss scale hold the graph's name, which has a
# number in it
_MOMENTUM, _UPDATES = "-momentum", "System-Train-TrainStep"
_SCALE_PREFIX = "System-Train-DynamicLossScale-"
_SCALES = {"loss_scale": "-LossScale", "good_steps": "-GoodStepCounter"}


class TrainGraph(nn.Graph):
    """Forward, loss, backward and update of a global batch, compiled at the first call.

    model: a `Classifier` with global parameters. images: (B, 3, 112, 112) float32 S(0), labels: (B,) int64 S(0); B
    counts all micro-batches of all ranks; state: of the loss, (gradient_acc,) broadcast each. Returns the model's
    outputs: losses, a partial-sum scalar each, or one per micro-batch (gradient_acc,); state as it came; results, of
    all micro-batches one below the other. The micro-batches' gradients are averaged. fp16: automatic mixed precision
    with a dynamic loss scale (CUDA only).
    fuse: the compiler may fuse operators. An optimizer without parameters leaves only the forward pass.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: flow.optim.lr_scheduler._LRScheduler,
        gradient_acc: int = 1,
        fp16: bool = False,
        fuse: bool = True,
    ) -> None:
        super().__init__()
        self.model = model
        self.trains = any(group.parameters for group in optimizer.param_groups)
        if self.trains:
            self.add_optimizer(optimizer, lr_sch=scheduler)
        self.config.allow_fuse_add_to_output(fuse)
        self.config.allow_fuse_model_update_ops(fuse)
        self.config.allow_fuse_cast_scale(fuse)
        if gradient_acc > 1:
            self.config.set_gradient_accumulation_steps(gradient_acc)
        if fp16:
            self.config.enable_amp(True)
        if fp16 and self.trains:
            self.set_grad_scaler(GradScaler(init_scale=2.0**15, growth_factor=2.0, backoff_factor=0.5))
        self.config.set_outputs_buffer_size(1)  # a second one would let a step begin whose centers are not trained yet

    def build(self, images: flow.Tensor, labels: flow.Tensor, state: dict[str, flow.Tensor]) -> dict:
        objective, outputs = self.model(images, labels, state)
        if self.trains:
            objective.backward()
        return outputs


class GraphStep:
    """`TrainGraph` as the trainer uses it: a step to call, and optimizer state to save and restore.

    State is each rank's share as host arrays, named by parameter ("backbone.conv1.weight": its momentum), and
    "updates" (1,) int64, under AMP also "loss_scale" (1,) float32 and "good_steps" (1,) int64, equal on all ranks.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: Schedule,
        runtime: Runtime,
        gradient_acc: int = 1,
        fp16: bool = False,
        fuse: bool = True,
    ) -> None:
        self._graph = TrainGraph(model, optimizer, schedule.attach(optimizer), gradient_acc, fp16, fuse)
        self._parameters = dict(model.named_parameters())
        self._runtime = runtime

    @property
    def trains(self) -> bool:
        """Whether there is anything for the optimizer."""
        return self._graph.trains

    def run(self, images: np.ndarray, labels: np.ndarray, state: dict[str, flow.Tensor]) -> dict:
        """This rank's rows, images (B / ranks, 3, 112, 112) and labels (B / ranks,) -> what `TrainGraph` returns."""
        return self._graph(self._runtime.split_batch(images), self._runtime.split_batch(labels), state)

    def updates(self) -> int:
        """How many steps have changed the backbone: under AMP not those whose gradients were no numbers. A collective.

        Waits for the steps under way.
        """
        return int(self._shared(self._graph.state_dict()[_UPDATES], np.int64)[0])

    def _shared(self, tensor: flow.Tensor, dtype: type) -> np.ndarray:
        """A number (1,) that nn.Graph keeps on the first rank alone. A collective."""
        own = local_array(tensor) if self._runtime.is_main else np.zeros(1, dtype)
        return self._runtime.exchange(own)[0]

    def state(self) -> dict[str, np.ndarray]:
        """The optimizer's state; empty before the first step. A collective."""
        state, scales = {}, {_SCALE_PREFIX + self._graph.name + end: name for name, end in _SCALES.items()}
        for name, tensor in self._graph.state_dict().items():
            if name.endswith(_MOMENTUM):
                state[name.removeprefix("model.").removesuffix(_MOMENTUM)] = local_array(tensor)
            elif name == _UPDATES or name in scales:
                own = scales.get(name, "updates")
                state[own] = self._shared(tensor, np.float32 if own == "loss_scale" else np.int64)
        return state

    def restore(self, step: int, state: dict[str, np.ndarray]) -> None:
        """Goes on after `step` steps; only before the first call. `state` as `state()` gave it."""
        # nn.Graph keeps its step and loss scale on the first rank's host, also on CUDA (auto_train_step.cpp and
        # dynamic_loss_scale_schedule_pass.cpp of OneFlow).
        host = {"placement": flow.placement("cpu", ranks=[0]), "sbp": flow.sbp.broadcast}
        loaded = {_UPDATES: flow.tensor(np.array([step]), **host)}
        for name, array in state.items():
            if name == "updates":
                loaded[_UPDATES] = flow.tensor(array, **host)
            elif name in _SCALES:
                loaded[_SCALE_PREFIX + self._graph.name + _SCALES[name]] = flow.tensor(array, **host)
            else:
                sbp = self._parameters[name].sbp
                share = flow.from_numpy(array).to_global(placement=self._runtime.placement, sbp=sbp)
                loaded[f"model.{name}{_MOMENTUM}"] = share
        self._graph.load_state_dict(loaded)


def with_own_names(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Checkpoints of before have OneFlow's names for what is not a parameter's."""
    ends = {_UPDATES: "updates", **{end: name for name, end in _SCALES.items()}}
    return {
        next((own for end, own in ends.items() if name.startswith("System-") and name.endswith(end)), name): array
        for name, array in state.items()
    }
