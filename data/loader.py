"""Training batches from OFRecord shards, in an order that can be resumed anywhere: every record once per epoch, if no
sampler says otherwise.

OneFlow's own reader ends the process on the first record it cannot take, repeats and misses records where parts are
unequal, and cannot seek. Here threads decode with OpenCV, straight from memory-mapped parts by their index.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from data.augment import Augmenter
from data.batch import Batch
from data.manifest import Manifest, read_index
from data.ofrecord import index_path
from data.samplers import Epoch, Sampler, make_sampler
from data.teacher import Teacher
from data.verify import verify_parts
from utils.errors import UserError
from utils.pixels import SIDES, USUAL_SHAPE, ImageShape, fitted, size_words
from utils.prefetch import prefetched
from utils.reading.images import decode

_MAX_PIXELS = max(SIDES) ** 2


def mirrored_places(num_records: int, seed: int, epoch: int) -> np.ndarray:
    """Which places in an epoch's order are mirrored, (N,) bool."""
    return np.random.default_rng([seed, epoch, 1]).integers(0, 2, num_records, dtype=np.bool_)


class RecordLoader:
    """Batches of one rank from a converted dataset (`dataset.json`, parts and their indices).

    folder: the dataset; batch_size: images per rank and step; seed: of order, mirroring and augmentation;
    num_workers: decoding threads; prefetch: batches kept ready; augment: probabilities of operations (data/augment).
    sampler: whose order an epoch has; gradient_acc: micro-batches that `batch_size` holds. teacher: whose embeddings of
    the images come along. image_shape: of the batches, to which the images are scaled (None: as they are stored).
    verify_data: how much of the parts is looked at first, as data/verify.py says.

    An epoch has N // G steps, N records and G images of a global batch, whatever the sampler. Step k of it takes
    records [k * G, (k + 1) * G) of the epoch's order, and each rank a contiguous run of them: the global batches depend
    on (seed, epoch, G) alone, and a position is just (epoch, step). `note` is what a user should know of the sampler's
    choice, or None.

    Raises UserError for what `Manifest.check` and `verify_parts` find, for a dataset smaller than one global batch, and
    for batches that the sampler cannot make.
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
        sampler: Sampler | None = None,
        gradient_acc: int = 1,
        teacher: Teacher | None = None,
        image_shape: ImageShape | None = None,
        verify_data: str = "headers",
    ) -> None:
        self.folder = Path(folder)
        manifest = Manifest.load(self.folder)
        manifest.check(self.folder, num_ranks=ranks, num_classes=num_classes, num_image=num_image)
        verify_parts(self.folder, manifest, verify_data, rank, ranks)
        self.num_classes, self.num_image = manifest.num_classes, manifest.num_records
        self.data_digest = manifest.digest()
        self.batch_size, self.rank, self.ranks = batch_size, rank, ranks
        self.seed, self.random_flip = seed, random_flip
        self._stored = ImageShape(*manifest.image_size)
        self.num_workers, self.prefetch, self.image_shape = num_workers, prefetch, image_shape or self._stored
        self._augmenter = Augmenter(augment, seed) if augment else None
        self._teacher, self.teacher_size = teacher, teacher.size if teacher else None
        self.steps_per_epoch = self.num_image // (batch_size * ranks)
        if self.steps_per_epoch == 0:
            raise UserError(
                f"the dataset in {self.folder} has {self.num_image} records, fewer than one global batch of "
                f"{batch_size * ranks}; lower batch_size or use fewer ranks"
            )
        self._parts = manifest.parts
        self._starts = np.cumsum([0] + [part.records for part in self._parts[:-1]])
        self._index = [read_index(index_path(self.folder / part.name)) for part in self._parts]
        self._bytes = [np.memmap(self.folder / part.name, np.uint8, "r") for part in self._parts]
        self._sampler = sampler or make_sampler("shuffle")
        global_batch = batch_size * ranks
        together = global_batch if gradient_acc == 1 else batch_size // gradient_acc
        if fault := self._sampler.fault(self.class_sizes, global_batch, together):
            raise UserError(f"sampler {self._sampler.name} is not possible: {fault}")
        self.note = self._sampler.note(self.class_sizes, global_batch)

    def class_sizes(self) -> np.ndarray:
        """The images of each class, (C,) int64, counted from the parts' indices."""
        counts = (np.bincount(index["label"], minlength=self.num_classes) for index in self._index)
        return sum(counts, np.zeros(self.num_classes, np.int64))

    def labels(self) -> np.ndarray:
        """The class of each record, (N,) int32, read from the parts' indices."""
        labels = np.empty(self.num_image, np.int32)
        for start, index in zip(self._starts, self._index, strict=True):
            labels[start : start + len(index)] = index["label"]
        return labels

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start` ... of one epoch, as `batches`."""
        first = epoch * self.steps_per_epoch
        return self.batches(first + start, first + self.steps_per_epoch)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches of the steps [start, stop) of a run. An epoch's order is made while the one before it is read, so
        that no step waits at its beginning.

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
        global_batch = self.batch_size * self.ranks
        wanted = Epoch(self.seed, epoch, self.num_image, self.steps_per_epoch, global_batch)
        order = self._sampler.records(wanted, self.labels)
        mirrored = mirrored_places(self.num_image, self.seed, epoch)[: len(order)]
        if not self.random_flip:
            mirrored[:] = False
        shape = (self.steps_per_epoch, self.ranks, self.batch_size)
        return order.reshape(shape)[:, self.rank].copy(), mirrored.reshape(shape)[:, self.rank].copy()

    def _load(self, epoch: int, records: np.ndarray, mirrored: np.ndarray) -> Batch:
        images = np.empty((len(records), *self.image_shape), np.uint8)
        labels = np.empty(len(records), np.int64)
        parts = np.searchsorted(self._starts, records, side="right") - 1
        numbers = self._augmenter.numbers(epoch, records) if self._augmenter else None
        for row, (part, record) in enumerate(zip(parts, records - self._starts[parts], strict=True)):
            entry = self._index[part][record]
            labels[row] = entry["label"]
            image = self._decode(part, record, entry)
            if self._augmenter and numbers is not None:
                image = self._augmenter(image, numbers[row])
            images[row] = fitted(image, self.image_shape)
        teacher = self._teacher(records, mirrored, images) if self._teacher else None
        return Batch(images, labels, records.astype(np.int64), mirrored, teacher)

    def _decode(self, part: int, record: int, entry: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB, of the size in which images are stored."""
        offset, length = int(entry["offset"]), int(entry["length"])
        image = decode(self._bytes[part][offset : offset + length], cv2.IMREAD_COLOR_RGB, _MAX_PIXELS)
        if image is None or image.shape != self._stored:
            raise UserError(
                f"record {record} of {self.folder / self._parts[part].name} is not a {size_words(self._stored)} "
                "image that decodes; "
                "convert the dataset again with --verify"
            )
        return image


class SyntheticLoader:
    """Random images and labels from memory with the interface of `RecordLoader`, to measure speed without data.

    A few random batches take turns, so that making them costs the steps nothing; labels are new in every step.
    """

    note = None
    data_digest = "synthetic"

    def __init__(
        self,
        num_classes: int,
        num_image: int,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        seed: int = 0,
        teacher_size: int | None = None,
        image_shape: ImageShape = USUAL_SHAPE,
    ) -> None:
        self.num_classes, self.num_image = num_classes, num_image
        self.batch_size, self.rank, self.ranks, self.seed = batch_size, rank, ranks, seed
        self.steps_per_epoch = num_image // (batch_size * ranks)
        if self.steps_per_epoch == 0:
            raise UserError(f"num_image={num_image} is fewer than one global batch of {batch_size * ranks}")
        self._images = np.random.default_rng([seed, rank]).integers(0, 256, (4, batch_size, *image_shape), np.uint8)
        self.teacher_size = teacher_size
        self._teacher = self._images.reshape(4, batch_size, -1)[:, :, : teacher_size or 0] / np.float32(255) - 0.5

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches of the steps [start, stop) of a run, as `RecordLoader.batches`; images come back every four steps."""
        own = np.arange(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        for step in range(start, stop):
            labels = np.random.default_rng([self.seed, step, self.rank]).integers(0, self.num_classes, self.batch_size)
            first = step % self.steps_per_epoch * self.batch_size * self.ranks
            teacher = self._teacher[step % 4] if self.teacher_size else None
            yield Batch(self._images[step % 4], labels, first + own, teacher=teacher)
