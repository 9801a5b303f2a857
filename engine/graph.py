"""The training step as one compiled graph."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import oneflow as flow
from oneflow import nn
from oneflow.amp import GradScaler
from oneflow.framework.c_api_util import GetCurrentJob

from engine.job_graph import JobGraph
from engine.native_fusion import fuse_normalization
from engine.native_layout import keep_channels_last
from engine.recompute import recompute
from optim.compiled import LearningRate, set_terms
from optim.optimizer import Optimizer
from optim.parameters import ParameterRules
from utils.runtime import Runtime, local_array

# nn.Graph's own names for what it keeps besides the model; those of the loss scale hold the graph's name, which has a
# number in it
_UPDATES = "System-Train-TrainStep"
_SCALE_PREFIX = "System-Train-DynamicLossScale-"
_SCALES = {"loss_scale": "-LossScale", "good_steps": "-GoodStepCounter"}


class TrainGraph(nn.Graph):
    """Forward, loss, backward and update of a global batch, compiled at the first call.

    model: a `Classifier` with global parameters. images: (B, H, W, C) uint8 S(0), labels: (B,) int64 S(0); B
    counts all micro-batches of all ranks; state: of the loss, (gradient_acc,) broadcast each; inputs: as the model
    takes them. Returns the model's outputs: losses, a scalar each (a partial sum, or broadcast), or one per micro-batch
    (gradient_acc,); state as it came; results, of all micro-batches one below the other. The micro-batches' gradients
    are averaged.

    optimizer updates the parameters that train by `rules`, at the rate that `learning_rate` is set to; without any,
    there is only the forward pass. clip: the largest L2 norm of all their gradients together, before weight decay (0:
    any). fp16: automatic mixed precision with a dynamic loss scale (CUDA only). fuse: the compiler may fuse operators.
    recomputed: names of the model's modules, such as "backbone.layer1.0", whose activations are computed again in the
    backward pass. native: with the operators of `native/` (CPU only), which keep images with channels last.
    """

    def __init__(
        self,
        model: nn.Module,
        learning_rate: LearningRate,
        optimizer: Optimizer,
        rules: ParameterRules,
        clip: float = 0.0,
        gradient_acc: int = 1,
        fp16: bool = False,
        fuse: bool = True,
        recomputed: Sequence[str] = (),
        native: bool = False,
    ) -> None:
        super().__init__()
        self._recomputed, self._native = recomputed, native
        self._forward: Collection[str] = ()  # operators of the forward pass, by name
        self.model, self.learning_rate, self.optimizer = model, learning_rate, optimizer
        trained = rules.trained(model)
        self._terms = {f"model.{name}": rules.terms(name, p.ndim) for name, p in trained.items()}
        self.trains = bool(trained)
        if self.trains:
            clipping = {"clip_grad_max_norm": clip, "clip_grad_norm_type": 2.0} if clip else {}
            self.add_optimizer(optimizer.in_graph([{"params": list(trained.values()), **clipping}]))
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

    def build(
        self,
        images: flow.Tensor,
        labels: flow.Tensor,
        state: dict[str, flow.Tensor],
        inputs: dict[str, flow.Tensor],
    ) -> dict:
        if self.trains:
            self.learning_rate()  # what is not read here is not in the job
        objective, outputs = self.model(images, labels, state, inputs)
        if self.trains:
            self._forward = {op.name for op in GetCurrentJob().net.op}
            objective.backward()
        return outputs

    def build_graph(self, *args, **kwargs):
        """As nn.Graph's, which compiling calls; the operators that update parameters get their terms."""
        built = super().build_graph(*args, **kwargs)
        job = self._full_graph_proto
        if self.trains:
            set_terms(job, self.optimizer, "learning_rate.value", self._terms)
            recompute(job, [f"model.{name}" for name in self._recomputed], self._forward)
        if self._native:
            net = JobGraph(job)
            fuse_normalization(net)
            keep_channels_last(net)
        self._full_graph_proto = job
        return built


class GraphStep:
    """`TrainGraph` as the trainer uses it: a step to call, and optimizer state to save and restore.

    State is each rank's share as host arrays, named "PARAMETER/SLOT" ("backbone.conv1.weight/momentum"), and "updates"
    (1,) int64, how many there were since the slots were zeros; under AMP also "loss_scale" (1,) float32 and
    "good_steps" (1,) int64. Equal on all ranks.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        rules: ParameterRules,
        runtime: Runtime,
        clip: float = 0.0,
        gradient_acc: int = 1,
        fp16: bool = False,
        fuse: bool = True,
        recomputed: Sequence[str] = (),
    ) -> None:
        self._learning_rate = LearningRate(runtime.placement)
        self._graph = TrainGraph(
            model, self._learning_rate, optimizer, rules, clip, gradient_acc, fp16, fuse, recomputed, runtime.native
        )
        self._parameters = dict(model.named_parameters())
        self._optimizer, self._runtime = optimizer, runtime

    @property
    def trains(self) -> bool:
        """Whether there is anything for the optimizer."""
        return self._graph.trains

    def run(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        state: dict[str, flow.Tensor],
        inputs: dict[str, np.ndarray],
        lr: float,
    ) -> dict:
        """This rank's rows, images (B / ranks, H, W, C), labels (B / ranks,) and inputs (B / ranks, ...) -> what
        `TrainGraph` returns.
        """
        self._learning_rate.set(lr)
        split = self._runtime.split_batch
        return self._graph(split(images), split(labels), state, {name: split(rows) for name, rows in inputs.items()})

    def updates(self) -> int:
        """How many steps have changed the backbone: under AMP not those whose gradients were no numbers. A collective.

        Waits for the steps under way.
        """
        return int(self._shared(self._graph.state_dict()[_UPDATES], np.int64)[0]) if self.trains else 0

    def _shared(self, tensor: flow.Tensor, dtype: type) -> np.ndarray:
        """A number (1,) that nn.Graph keeps on the first rank alone. A collective."""
        own = local_array(tensor) if self._runtime.is_main else np.zeros(1, dtype)
        return self._runtime.exchange(own)[0]

    def state(self) -> dict[str, np.ndarray]:
        """The optimizer's state; empty before the first step. A collective."""
        state, scales = {}, {_SCALE_PREFIX + self._graph.name + end: name for name, end in _SCALES.items()}
        slots = {f"model.{p}-{slot}": f"{p}/{slot}" for p in self._parameters for slot in self._optimizer.slots}
        for name, tensor in self._graph.state_dict().items():
            if name in slots:
                state[slots[name]] = local_array(tensor)
            elif name == _UPDATES or name in scales:
                own = scales.get(name, "updates")
                state[own] = self._shared(tensor, np.float32 if own == "loss_scale" else np.int64)
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on with a state as `state()` gave it; only before the first call. Its arrays may be trained in place."""
        # nn.Graph keeps its step and loss scale on the first rank's host, also on CUDA (auto_train_step.cpp and
        # dynamic_loss_scale_schedule_pass.cpp of OneFlow).
        host = {"placement": flow.placement("cpu", ranks=[0]), "sbp": flow.sbp.broadcast}
        names = {"updates": _UPDATES} | {n: _SCALE_PREFIX + self._graph.name + end for n, end in _SCALES.items()}
        loaded = {names[name]: flow.tensor(array, **host) for name, array in state.items() if name in names}
        for name, parameter in self._parameters.items():
            for slot in self._optimizer.slots:
                if f"{name}/{slot}" in state:
                    share = flow.from_numpy(state[f"{name}/{slot}"])
                    share = share.to_global(placement=self._runtime.placement, sbp=parameter.sbp)
                    loaded[f"model.{name}-{slot}"] = share
        self._graph.load_state_dict(loaded)
