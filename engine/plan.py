"""What a run will do, in words and as a plot for a terminal: its phases, their epochs, steps, losses and rates."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from engine.phase import Phase
from engine.phase_step import trained_with
from utils.config.rules import teacher_in_step, uses_teacher

_WIDTH, _HEIGHT = 64, 10  # characters of the plot


def describe_phase(phase: Phase, phases: Sequence[Phase]) -> str:
    """A line for the log, such as "Phase 1 of 2: steps 0 to 93, loss arcface, sgd from lr 0.1 to 0.001"."""
    lr, last = phase.rate(phase.first), phase.rate(phase.stop - 1)
    frozen = f", frozen: {', '.join(phase.cfg.frozen)}" if phase.cfg.frozen else ""
    return (
        f"Phase {phase.number + 1} of {len(phases)}: steps {phase.first} to {phase.stop}, "
        f"{trained_with(phase.cfg)['loss']}, {phase.cfg.optimizer} from lr {lr:g} to {last:g}{frozen}"
    )


def describe_plan(phases: Sequence[Phase], num_image: int, ranks: int) -> str:
    """All phases of a run, then its learning rate over its steps; several lines."""
    count, steps = phases[-1].epoch(phases[-1].stop - 1) + 1, phases[-1].stop
    lines = [f"{num_image:,} images, {ranks} rank(s): {steps:,} steps in {count} epoch(s)"]
    for phase in phases:
        cfg, words = phase.cfg, trained_with(phase.cfg)
        epochs = f"epochs {phase.epoch(phase.first)} to {phase.epoch(phase.stop - 1)}"
        rates = [phase.rate(step) for step in range(phase.first, phase.stop)]
        facts = {
            "steps": f"{phase.first} to {phase.stop}, {phase.steps_per_epoch} an epoch",
            "batch": f"{phase.global_batch} images",
            "loss": words["loss"].removeprefix("loss "),
            "optimizer": words["optimizer"]
            + (f", centers: {words['head_optimizer']}" if words["head_optimizer"] != words["optimizer"] else ""),
            "rate": f"{cfg.lr_schedule}, {rates[0]:.4g} at first, {max(rates):.4g} at most, {rates[-1]:.4g} at last",
            "sampler": cfg.sampler,
            "teacher": _teacher(cfg) if uses_teacher(cfg) else "none",
            "frozen": ", ".join(cfg.frozen) or "nothing",
            "centers": "all" if cfg.sample_rate == 1 else f"a sample of {cfg.sample_rate:g} in each step",
        }
        lines += ["", f"Phase {phase.number + 1} of {len(phases)}: {epochs}"]
        lines += [f"  {name:<9} {value}" for name, value in facts.items()]
    return "\n".join([*lines, "", *rate_plot(phases)])


def _teacher(cfg) -> str:
    """Which one, and where its embeddings come from."""
    if teacher_in_step(cfg):
        return f"{cfg.teacher}, run in the step"
    return f"{cfg.teacher}, {'stored embeddings' if Path(cfg.teacher).suffix == '.npy' else 'run beside the step'}"


def rate_plot(phases: Sequence[Phase], width: int = _WIDTH, height: int = _HEIGHT) -> list[str]:
    """The learning rate over the steps, a column for equal shares of them: the largest rate in it is at the `*`, and
    lines of `|` below it. Below, the number of the phase that each column begins in.
    """
    total = phases[-1].stop
    width = min(width, total)
    owners, columns, bounds = [], [], [total * column // width for column in range(width + 1)]
    for start, stop in pairwise(bounds):
        owners.append(next(phase for phase in phases if start < phase.stop))
        columns.append(max(next(p for p in phases if step < p.stop).rate(step) for step in range(start, stop)))
    top = max(columns) or 1.0
    levels = [round(rate / top * (height - 1)) for rate in columns]
    lines = []
    for level in range(height - 1, -1, -1):
        label = f"{top * level / (height - 1):.3g}" if level in (0, height - 1) else ""
        marks = ("*" if at == level else "|" if at > level else " " for at in levels)
        lines.append(f"{label:>9} {''.join(marks)}".rstrip())
    lines.append(f"{'lr':>9} {'-' * width}")
    if len(phases) > 1:
        lines.append(f"{'phase':>9} {''.join(str((owner.number + 1) % 10) for owner in owners)}")
    last = str(total)
    lines.append(f"{'step':>9} 0{last.rjust(width - 1)}")
    return lines
