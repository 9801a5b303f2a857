"""The ways to hold the class centers, from the most exact to the smallest, and what fits with each."""

from collections.abc import Iterator
from dataclasses import dataclass

from easydict import EasyDict

from planning.job import Job, read_job
from planning.predict import Prediction, predict
from planning.search import largest

_MOST = 2**40  # classes; more than anyone has


@dataclass(frozen=True)
class MemoryLimit:
    """Bytes that each rank may take on the host, and on its card."""

    host: int
    card: int

    def holds(self, prediction: Prediction) -> bool:
        return prediction.host_total <= self.host and prediction.card_total <= self.card


class Planner:
    """Predictions for a config and variants of its head, on `device` ("cpu" or "cuda") and so many ranks."""

    def __init__(self, cfg, ranks: int, device: str) -> None:
        self.cfg, self.ranks, self.device = cfg, ranks, device
        self._job: Job | None = None

    def predict(self, num_classes: int, **head) -> Prediction:
        """head: keys of the config's head that differ, such as sample_rate=0.1."""
        cfg = EasyDict(self.cfg, **head)
        if self._job is None:  # the head's keys change numbers, not the job
            self._job = read_job(cfg, self.ranks, self.device)
        return predict(cfg, num_classes, self.ranks, self.device, self._job)

    def most_classes(self, limit: MemoryLimit, **head) -> int:
        """The largest number of identities that fits, to 0.1 percent; 0 where none does."""
        fits = {}

        def holds(count: int) -> bool:
            fits[count] = count <= _MOST and limit.holds(self.predict(count, **head))
            return fits[count]

        if holds(_MOST):
            return _MOST
        return largest(holds, 100_000, tolerance=0.001, lowest=self.ranks)[0]

    def options(self) -> Iterator[dict]:
        """The heads worth considering, the first that fits being the one to take."""
        stores = [("device", "float32"), ("device", "float16"), ("host", "float32"), ("host", "float16")]
        stores.append(("mmap", "float16"))
        if self.device == "cpu":  # where the device's memory is the host's
            stores = [("device", "float32"), ("device", "float16"), ("mmap", "float16")]
        yield {"sample_rate": 1.0, "head_store": "device", "head_dtype": "float32"}
        for store, dtype in stores:
            for rate in (0.2, 0.1) if store == "device" else (0.1,):
                yield {"sample_rate": rate, "head_store": store, "head_dtype": dtype}
