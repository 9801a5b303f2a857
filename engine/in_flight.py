"""How far the host may run ahead of the device."""

import time
from collections import deque
from collections.abc import Callable

import numpy as np
import oneflow as flow

from utils.runtime import Runtime


def wait_for_device(runtime: Runtime) -> None:
    """Returns when all that was launched on this rank has ended, updates of parameters too.

    A loss cannot say that: it is there before the backward pass of its step has begun.
    """
    # A compiled step is one instruction of OneFlow's virtual machine, done when the whole job is (LaunchLazyJob).
    flow._oneflow_internal.eager.Sync()
    if runtime.device == "cuda":
        flow.cuda.synchronize()


def loss_arrival(loss: flow.Tensor) -> Callable[[], None]:
    """A call that waits until a loss is there, and so until the step before its own has ended.

    loss: global, of the newest step; its forward pass needs what the step before updated.
    """
    # The copy is asked for now: asked for later, it would stand behind all steps launched until then.
    copy = loss.to_local().to("cpu")
    return lambda: copy.numpy()


class StepsInFlight:
    """Bounds the steps that are launched and not ended to about `seconds` of work, the same number on every rank.

    Steps count in stretches of at most half that time. At the end of a stretch the host waits for the stretch before
    it, while the device is busy with the one just launched. If a stretch is one step, as at first and with slow steps,
    it waits for the loss of that step.

    arrival: gives, for the loss of a step, the call that waits for it; wait: waits for all steps; clock: in seconds.
    """

    _stretches: deque[tuple[int, Callable[[], None]]]  # under way: their steps, and what waits for their last loss
    _launched: int  # steps of the stretch that is being launched
    _wanted: int  # its length
    _since: float | None  # when the last measurement was

    def __init__(
        self,
        runtime: Runtime,
        seconds: float = 1.0,
        arrival: Callable[[flow.Tensor], Callable[[], None]] = loss_arrival,
        wait: Callable[[Runtime], None] = wait_for_device,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._runtime, self._arrival, self._wait, self._clock = runtime, arrival, wait, clock
        self._stretch_seconds = seconds / 2
        self.length = 1  # steps of a stretch from now on
        self.restart()

    def launched(self, loss: flow.Tensor) -> bool:
        """Call it after every step; may wait for older ones. Whether a stretch ends here, as then on every rank."""
        self._launched += 1
        if self._launched < self._wanted:
            return False
        self._stretches.append((self._launched, self._arrival(loss)))
        ended = 0
        while len(self._stretches) > (self.length > 1):
            steps, arrive = self._stretches.popleft()
            arrive()
            ended += steps
        if ended:
            self._measure(ended)
        self._launched, self._wanted = 0, self.length
        return True

    def _measure(self, steps: int) -> None:
        """Sets the length of the next stretch: so many losses came since the last measurement."""
        now, before = self._clock(), self._since
        self._since = now
        if before is None:  # the step was compiled meanwhile, or the device had been idle
            return
        own = np.array([(now - before) / steps])
        slowest = float(self._runtime.exchange(own).max())
        self.length = int(np.clip(self._stretch_seconds / max(slowest, 1e-6), 1, 2 * self.length))

    def wait(self) -> None:
        """Waits for the end of all steps, on this rank."""
        self._wait(self._runtime)
        self.restart()

    def restart(self) -> None:
        """Measures from now on; call it after a pause, with no step under way."""
        self._stretches = deque()
        # The first stretch is one step, or pauses that come more often than stretches end would leave none to end.
        self._launched, self._wanted = 0, 1
        self._since = None
