"""Training batches from OFRecord shards: every record once per epoch, in an order that can be resumed anywhere.

OneFlow's own reader ends the process on the first record it cannot take, repeats and misses records where parts are
unequal, and cannot seek. Here threads decode with OpenCV, straight from memory-mapped parts by their index.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from data.augment import Augmenter
from data.manifest import Manifest
from data.ofrecord import index_path
from utils.errors import UserError
from utils.prefetch import prefetched

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # images, labels, records

# (x / 255 - 0.5) / 0.5 for every byte, so that a look-up normalizes
_NORMALIZED = ((np.arange(256) / 255 - 0.5) / 0.5).astype(np.float32)


def epoch_plan(num_records: int, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The epoch's order of records (N,) uint32, and which places in it are mirrored, (N,) bool."""
    order = np.random.default_rng([seed, epoch]).permutation(np.arange(num_records, dtype=np.uint32))
    mirrored = np.random.default_rng([seed, epoch, 1]).integers(0, 2, num_records, dtype=np.bool_)
    return order, mirrored


class RecordLoader:
    """Batches of one rank from a converted dataset (`dataset.json`, parts and their indices).

    folder: the dataset; batch_size: images per rank and step; seed: of order, mirroring and augmentation;
    num_workers: decoding threads; prefetch: batches kept ready; augment: probabilities of operations (data/augment).

    Step k of an epoch takes records [k * G, (k + 1) * G) of the epoch's order, G being the global batch, and each rank
    a contiguous run of them: the global batches depend on (seed, epoch, G) alone, a position is just (epoch, step), and
    fewer than G records are left out at an epoch's end.

    Raises UserError for what `Manifest.check` finds, and for a dataset smaller than one global batch.
    """

    def __init__(
        self,
        folder: str | Path,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        seed: int = 0,
        random_flip: bool = True,
        num_workers: int = 2,
        prefetch: int = 4,
        num_classes: int | None = None,
        num_image: int | None = None,
        augment: Mapping[str, float] | None = None,
    ) -> None:
        self.folder = Path(folder)
        manifest = Manifest.load(self.folder)
        manifest.check(self.folder, num_ranks=ranks, num_classes=num_classes, num_image=num_image)
        self.num_classes, self.num_image = manifest.num_classes, manifest.num_records
        self.batch_size, self.rank, self.ranks = batch_size, rank, ranks
        self.seed, self.random_flip = seed, random_flip
        self.num_workers, self.prefetch = num_workers, prefetch
        self._augmenter = Augmenter(augment, seed) if augment else None
        self.steps_per_epoch = self.num_image // (batch_size * ranks)
        if self.steps_per_epoch == 0:
            raise UserError(
                f"the dataset in {self.folder} has {self.num_image} records, fewer than one global batch of "
                f"{batch_size * ranks}; lower batch_size or use fewer ranks"
            )
        self._parts = manifest.parts
        self._starts = np.cumsum([0] + [part.records for part in self._parts[:-1]])
        self._index = [np.load(index_path(self.folder / part.name), mmap_mode="r") for part in self._parts]
        self._bytes = [np.memmap(self.folder / part.name, np.uint8, "r") for part in self._parts]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start` ... of one epoch, as `batches`."""
        first = epoch * self.steps_per_epoch
        return self.batches(first + start, first + self.steps_per_epoch)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches of the steps [start, stop) of a run: images (B, 3, 112, 112) float32 RGB in [-1, 1], labels (B,)
        int64, and the numbers that their records have in the dataset, (B,) int64. An epoch's order is made while the
        one before it is read, so that no step waits at its beginning.

        A batch's arrays are its own: they are never written again, for a step may read them later without a copy.

        Raises UserError naming part and record where an image does not decode.
        """
        with ThreadPoolExecutor(self.num_workers, "decode") as pool:
            yield from prefetched(pool, self._loads(pool, start, stop), self.prefetch)

    def _loads(self, pool: Executor, start: int, stop: int) -> Iterator[tuple]:
        """The call that loads each of the batches."""
        shares: dict = {}
        for step in range(start, stop):
            epoch, number = divmod(step, self.steps_per_epoch)
            for wanted in {epoch, min(epoch + 1, (stop - 1) // self.steps_per_epoch)} - shares.keys():
                shares[wanted] = pool.submit(self._share, wanted)
            shares.pop(epoch - 1, None)
            records, mirrored = shares[epoch].result()
            yield self._load, epoch, records[number], mirrored[number]

    def _share(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """This rank's records and their mirroring, each (steps, B)."""
        order, mirrored = epoch_plan(self.num_image, self.seed, epoch)
        if not self.random_flip:
            mirrored[:] = False
        shape = (self.steps_per_epoch, self.ranks, self.batch_size)
        used = self.steps_per_epoch * self.ranks * self.batch_size
        return tuple(plan[:used].reshape(shape)[:, self.rank].copy() for plan in (order, mirrored))

    def _load(self, epoch: int, records: np.ndarray, mirrored: np.ndarray) -> Batch:
        images = np.empty((len(records), 3, 112, 112), np.float32)
        labels = np.empty(len(records), np.int64)
        parts = np.searchsorted(self._starts, records, side="right") - 1
        numbers = self._augmenter.numbers(epoch, records) if self._augmenter else None
        for row, (part, record, flip) in enumerate(zip(parts, records - self._starts[parts], mirrored, strict=True)):
            entry = self._index[part][record]
            labels[row] = entry["label"]
            image = self._decode(part, record, entry)
            if self._augmenter:
                image = self._augmenter(image, numbers[row])
            np.take(_NORMALIZED, (image[:, ::-1] if flip else image).transpose(2, 0, 1), out=images[row], mode="clip")
        return images, labels, records.astype(np.int64)

    def _decode(self, part: int, record: int, entry: np.ndarray) -> np.ndarray:
        """(112, 112, 3) uint8 RGB."""
        offset, length = int(entry["offset"]), int(entry["length"])
        image = cv2.imdecode(self._bytes[part][offset : offset + length], cv2.IMREAD_COLOR_RGB)
        if image is None or image.shape != (112, 112, 3):
            raise UserError(
                f"record {record} of {self.folder / self._parts[part].name} is not a 112x112 image that decodes; "
                "convert the dataset again with --verify"
            )
        return image


class SyntheticLoader:
    """Random images and labels from memory with the interface of `RecordLoader`, to measure speed without data.

    A few random batches take turns, so that making them costs the steps nothing; labels are new in every step.
    """

    def __init__(
        self, num_classes: int, num_image: int, batch_size: int, rank: int = 0, ranks: int = 1, seed: int = 0
    ) -> None:
        self.num_classes, self.num_image = num_classes, num_image
        self.batch_size, self.rank, self.ranks, self.seed = batch_size, rank, ranks, seed
        self.steps_per_epoch = num_image // (batch_size * ranks)
        if self.steps_per_epoch == 0:
            raise UserError(f"num_image={num_image} is fewer than one global batch of {batch_size * ranks}")
        drawn = np.random.default_rng([seed, rank]).random((4, batch_size, 3, 112, 112), np.float32)
        self._images = drawn * 2 - 1

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches of the steps [start, stop) of a run, as `RecordLoader.batches`; images come back every four steps."""
        own = np.arange(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        for step in range(start, stop):
            labels = np.random.default_rng([self.seed, step, self.rank]).integers(0, self.num_classes, self.batch_size)
            first = step % self.steps_per_epoch * self.batch_size * self.ranks
            yield self._images[step % 4], labels, first + own
