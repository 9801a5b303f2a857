"""The stretches of a run that have a config of their own."""

from dataclasses import dataclass, replace

from easydict import EasyDict

from optim.schedules import Schedule, configured_schedule
from utils.config.phases import resolve_phases
from utils.errors import UserError


@dataclass(frozen=True)
class Phase:
    """Steps [first, stop) of a run, trained as `cfg` says.

    origin: the step that its epochs and its schedule count from: `first`, except after a frozen beginning, which is a
    part of the same schedule. epochs_before: how many the phases before it had. accumulated: micro-batches of a step.
    """

    number: int
    cfg: EasyDict
    first: int
    stop: int
    origin: int
    epochs_before: int
    steps_per_epoch: int
    global_batch: int
    schedule: Schedule
    accumulated: int

    def rate(self, step: int) -> float:
        """The learning rate of a step of the run."""
        return self.schedule.at(step - self.origin)

    def epoch(self, step: int) -> int:
        """The epoch of the run that a step belongs to, from 0."""
        return self.epochs_before + (step - self.origin) // self.steps_per_epoch

    def ends_epoch(self, steps: int) -> bool:
        """Whether an epoch ends when so many steps are done."""
        return (steps - self.origin) % self.steps_per_epoch == 0

    def batches(self, step: int) -> tuple[int, int]:
        """The batches of its loader from a step on, as `RecordLoader.batches` counts them."""
        before = self.epochs_before * self.steps_per_epoch - self.origin
        return before + step, before + self.stop


def make_phases(cfg, num_image: int, ranks: int) -> list[Phase]:
    """The phases of a run over so many images: `cfg.phases`, or a single one.

    `cfg.freeze_backbone` steps without the backbone are a first phase that the schedule does not notice; without a
    gradient of the backbone there is nothing to accumulate. Raises UserError if a step takes more images than there
    are.
    """
    phases, first, epochs = [], 0, 0
    for number, own in enumerate(resolve_phases(cfg)):
        global_batch = own.batch_size * own.gradient_acc * ranks
        steps_per_epoch = num_image // global_batch
        if steps_per_epoch == 0:
            raise UserError(
                f"the dataset has {num_image} records, fewer than one global batch of {global_batch}; lower batch_size "
                "or use fewer ranks"
            )
        stop = first + own.num_epoch * steps_per_epoch
        schedule = configured_schedule(own, steps_per_epoch)
        phases.append(
            Phase(number, own, first, stop, first, epochs, steps_per_epoch, global_batch, schedule, own.gradient_acc)
        )
        first, epochs = stop, epochs + own.num_epoch
    if cfg.freeze_backbone:
        whole = phases[0]
        cut = min(cfg.freeze_backbone, whole.stop)
        frozen = EasyDict(whole.cfg, frozen=(*whole.cfg.frozen, "backbone.*"))
        phases = [replace(whole, cfg=frozen, stop=cut, accumulated=1)]
        if cut < whole.stop:
            phases.append(replace(whole, number=1, first=cut))
    return phases


def phase_at(phases: list[Phase], step: int) -> Phase:
    """The phase that the step after `step` steps belongs to; the last one if the run is complete."""
    return next((phase for phase in phases if step < phase.stop), phases[-1])
