"""Demo dataset: drawn faces as InsightFace writes photographs, train.rec/.idx/property and verification .bin sets.

MXNet itself writes the recordio, so that what reads the demo reads the real thing too.
"""

import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data.drawn.geometry import SIZE
from data.drawn.identity import Identity
from data.drawn.nuisance import HARD, USUAL, Level
from data.drawn.render import draw_face
from preparation.drawn.folder import make_demo_folder
from utils.errors import UserError

VERSION = 2  # of the drawing: another one means other pictures
FOLDS = 10  # of a verification set, as lfw.bin is cut
HELD_OUT = 1 << 24  # number of the first person that training never sees; float32 labels end here anyway
_SETS = {"demo.bin": (HELD_OUT, USUAL), "demo_hard.bin": (HELD_OUT + (1 << 20), HARD)}


@dataclass(frozen=True)
class DemoParameters:
    """All that the content of a demo dataset depends on."""

    identities: int
    images_per_identity: int
    seed: int
    pairs: int  # in each verification set
    version: int = VERSION

    def check(self) -> None:
        """Raises UserError at the first value with which there is nothing to train or to verify."""
        if not 2 <= self.identities <= HELD_OUT:
            raise UserError(
                f"identities is {self.identities}: give 2 to {HELD_OUT}, so that there is something to tell apart."
            )
        if self.images_per_identity < 1:
            raise UserError(f"images is {self.images_per_identity}: give at least 1 picture per identity.")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}: give 0 or more.")
        if self.pairs < 4 * FOLDS or self.pairs % (2 * FOLDS) or self.pairs > 1 << 20:
            raise UserError(
                f"pairs is {self.pairs}: give a multiple of {2 * FOLDS} from {4 * FOLDS} to {1 << 20}, so that each "
                f"of the {FOLDS} folds holds as many pairs of one person as of two."
            )


def make_demo_dataset(
    out: str | Path,
    identities: int,
    images_per_identity: int,
    seed: int,
    pairs: int = 600,
    workers: int | None = None,
    force: bool = False,
) -> bool:
    """Draw a dataset into the folder `out`; False if the same one is there already and was left alone.

    The folder appears complete or not at all. workers: drawing processes (None: one per usable core), which the bytes
    do not depend on. force: replace a demo dataset made with other parameters. Raises UserError for impossible
    parameters, and where `out` holds anything else.
    """
    out = Path(out).absolute()
    parameters = DemoParameters(identities, images_per_identity, seed, pairs)
    parameters.check()
    if workers is not None and workers < 1:
        raise UserError(f"workers is {workers}: give at least 1.")

    def fill(folder: Path) -> None:
        with _pool(workers or len(os.sched_getaffinity(0))) as pool:
            _write_training_set(folder, parameters, pool)
            for name, (first, level) in _SETS.items():
                _write_pairs(folder / name, parameters, first, level, pool)

    return make_demo_folder(out, "demo dataset", asdict(parameters), force, fill)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Drawing processes of one thread each. Spawned: mxnet and OneFlow hold threads, which a fork does not survive."""
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when the child imports NumPy; its matrices are tiny
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]
        else:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _draw_person(seed: int, identity: int, images: range, level: Level) -> list[bytes]:
    """One task of a drawing process: these pictures of one person, as JPEG."""
    face = Identity.draw(seed, identity)
    return [draw_face(seed, identity, image, level, face) for image in images]


def _draw_people(
    pool: ProcessPoolExecutor, seed: int, people: range, images: int, level: Level, what: str
) -> Iterator[list[bytes]]:
    """The pictures of each person in turn."""
    count = len(people)
    drawn = pool.map(
        _draw_person, [seed] * count, people, [range(images)] * count, [level] * count, chunksize=max(1, 120 // images)
    )
    with tqdm(total=count * images, desc=f"drawing {what}", unit="image", disable=None) as progress:
        for pictures in drawn:
            yield pictures
            progress.update(len(pictures))


def _write_training_set(folder: Path, parameters: DemoParameters, pool: ProcessPoolExecutor) -> None:
    """train.rec, train.idx and property.

    Record 0: flag 2, label [first identity key, end). Then the pictures from key 1 on, the class as their label. Then a
    record per identity: flag 2, label [first, end) of its pictures' keys.
    """
    people, images = range(parameters.identities), parameters.images_per_identity
    pictures_of = _draw_people(pool, parameters.seed, people, images, USUAL, "train.rec")
    from mxnet.recordio import IRHeader, MXIndexedRecordIO, pack  # takes seconds; the processes are drawing meanwhile

    first_identity = 1 + len(people) * images
    record = MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "w")

    def write(key: int, label: float | list[int], payload: bytes = b"") -> None:
        # pack sets the flag to the number of labels where they are a list, and to 0 where the label is one number
        record.write_idx(key, pack(IRHeader(0, label, key, 0), payload))

    write(0, [first_identity, first_identity + len(people)])
    for person, pictures in enumerate(pictures_of):
        for image, picture in enumerate(pictures):
            write(1 + person * images + image, float(person), picture)
    for person in people:
        write(first_identity + person, [1 + person * images, 1 + (person + 1) * images])
    record.close()
    (folder / "property").write_text(f"{len(people)},{SIZE},{SIZE}\n")


def _write_pairs(path: Path, parameters: DemoParameters, first: int, level: Level, pool: ProcessPoolExecutor) -> None:
    """A verification set: pickle of ([a0, b0, a1, b1, ...] as JPEG bytes, [is a0 the person of b0, ...]).

    As in LFW, a fold is a run of pairs of one person and then as many of two, and nobody is in more than one fold.
    """
    half = parameters.pairs // (2 * FOLDS)
    people = range(first, first + half * FOLDS)
    pictures = list(_draw_people(pool, parameters.seed, people, 4, level, path.name))
    images, same = [], []
    for start in range(0, len(pictures), half):
        fold = pictures[start : start + half]
        for person in fold:
            images += person[:2]
        for person, other in zip(fold, fold[1:] + fold[:1], strict=True):
            images += [person[2], other[3]]
        same += [True] * half + [False] * half
    path.write_bytes(pickle.dumps((images, same), protocol=2))


def contact_sheet(seed: int, identities: int = 8, images: int = 10, level: Level = USUAL, first: int = 0) -> np.ndarray:
    """(identities * 112, images * 112, 3) uint8 BGR: a row for each person from number `first` on."""
    rows = (_draw_person(seed, first + row, range(images), level) for row in range(identities))
    return np.vstack([np.hstack([cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1) for jpeg in row]) for row in rows])
