"""Which parameters train, at which rate and with how much weight decay, by patterns of their names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from oneflow import nn

CENTERS = "head.weight"  # the class centers' name among the parameters


@dataclass(frozen=True)
class Terms:
    """A parameter's own: rate, times the schedule's; weight decay."""

    rate: float
    weight_decay: float


@dataclass(frozen=True)
class ParameterRules:
    """multipliers: pattern -> factor of the rate, of the patterns that match a name the first counts. frozen: patterns
    of what is not trained. Patterns are those of a shell, as "backbone.*". decays_vectors: whether parameters of one
    dimension (the weights of norms, the slopes of PReLU, biases) have weight decay.
    """

    weight_decay: float = 0.0
    multipliers: Mapping[str, float] | None = None
    frozen: tuple[str, ...] = ()
    decays_vectors: bool = True

    @classmethod
    def from_config(cls, cfg, weight_decay: float) -> "ParameterRules":
        return cls(weight_decay, cfg.lr_multipliers, tuple(cfg.frozen), cfg.decay_norms_and_biases)

    def trains(self, name: str) -> bool:
        return not any(fnmatchcase(name, pattern) for pattern in self.frozen)

    def trained(self, module: nn.Module) -> dict[str, nn.Parameter]:
        """The parameters of a module that train, by name."""
        return {name: p for name, p in module.named_parameters() if p.requires_grad and self.trains(name)}

    def terms(self, name: str, dimensions: int) -> Terms:
        rates = (factor for pattern, factor in (self.multipliers or {}).items() if fnmatchcase(name, pattern))
        decays = self.decays_vectors or dimensions > 1
        return Terms(next(rates, 1.0), self.weight_decay if decays else 0.0)

    def unused(self, names: Iterable[str]) -> list[str]:
        """Patterns that match none of the names."""
        names = list(names)
        patterns = (*(self.multipliers or {}), *self.frozen)
        return [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]
