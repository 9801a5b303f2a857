"""The learning rate of every step."""

from dataclasses import dataclass

from oneflow.optim import Optimizer, lr_scheduler


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a polynomial or a multi-step decay; all lengths in steps.

    With T `total_steps` and w `warmup_steps`, step t (from 0) runs at ``lr * t / w`` while t < w, then at
    ``lr * (1 - (t - w) / (T - w)) ** power`` ("polynomial"), or at lr times `decay_rate` for every one of
    `milestones` that t has reached ("multistep").
    """

    kind: str
    lr: float
    total_steps: int
    warmup_steps: int = 0
    power: float = 2.0
    milestones: tuple[int, ...] = ()
    decay_rate: float = 0.1

    @classmethod
    def from_config(cls, cfg, steps_per_epoch: int) -> "Schedule":
        def steps(epochs: float) -> int:
            return round(epochs * steps_per_epoch)

        return cls(
            cfg.lr_schedule,
            cfg.lr,
            steps(cfg.num_epoch),
            min(steps(cfg.warmup_epoch), steps(cfg.num_epoch) - 1),
            cfg.lr_power,
            tuple(steps(epoch) for epoch in cfg.decay_epoch),
            cfg.decay_rate,
        )

    def at(self, step: int) -> float:
        """The learning rate of step `step`, counted from 0."""
        if step < self.warmup_steps:
            return self.lr * step / self.warmup_steps
        if self.kind == "multistep":
            return self.lr * self.decay_rate ** sum(step >= milestone for milestone in self.milestones)
        left = 1 - (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return self.lr * max(left, 0.0) ** self.power

    def attach(self, optimizer: Optimizer) -> lr_scheduler._LRScheduler:
        """The same rates as a OneFlow scheduler, which nn.Graph compiles into the step.

        A group of parameters with another rate than `lr` keeps its proportion to it.
        """
        w = self.warmup_steps
        if self.kind == "multistep":
            decay = lr_scheduler.MultiStepLR(
                optimizer, [milestone - w for milestone in self.milestones], self.decay_rate
            )
        else:
            decay = lr_scheduler.PolynomialLR(optimizer, self.total_steps - w, 0.0, self.power)
        if w == 0:
            return decay
        return lr_scheduler.WarmupLR(
            decay, warmup_factor=0.0, warmup_iters=w, warmup_method="linear", warmup_prefix=True
        )
