"""Records by weights of their own, such as the quality of each face."""

from pathlib import Path

import numpy as np

from data.samplers.by_class import shares
from data.samplers.registry import register
from data.samplers.sampler import Epoch, Labels, Sampler, Sizes
from utils.errors import UserError
from utils.reading.array_file import map_array


@register("weighted")
class Weighted(Sampler):
    """Each record is in an epoch as often as its weight says, rounded up or down at random. The order is random.

    path: a .npy file with a number for each record of the dataset, (N,), 0 or more; only their proportions count.
    """

    def __init__(self, path: str = "") -> None:
        if not path:
            raise UserError('weighted needs a file of weights: write weighted(path="weights.npy")')
        try:
            self._weights = map_array(Path(path), "of weighted is no .npy file that can be read")
        except FileNotFoundError:
            raise UserError(f"path = {path!r} of weighted is no .npy file that can be read") from None

    def fault(self, sizes: Sizes, global_batch: int, together: int) -> str | None:
        weights, wanted = self._weights, int(sizes().sum())
        if weights.shape != (wanted,) or weights.dtype.kind not in "iuf":
            return f"the file holds {weights.dtype} {weights.shape}, and not a number for each of {wanted} records"
        low, high = weights.min(), weights.max()  # not a number if any is
        return None if low >= 0 and 0 < high < np.inf else f"weights are from {low} to {high}, and not 0 or more"

    def records(self, epoch: Epoch, labels: Labels) -> np.ndarray:
        rng = epoch.generator()
        counts = shares(self._weights.astype(np.float64), epoch.steps * epoch.global_batch, rng)
        records = np.repeat(np.arange(epoch.num_records, dtype=np.uint32), counts)
        rng.shuffle(records)
        return records
