"""Demo dataset: drawn faces as InsightFace writes photographs, train.rec/.idx/property and verification .bin sets.

MXNet itself writes the recordio, so that what reads the demo reads the real thing too.
"""

import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from data.drawn.identity import Identity
from data.drawn.nuisance import HARD, USUAL, Level
from data.drawn.render import draw_face
from preparation.drawn.folder import make_demo_folder
from preparation.drawn.pictures import Pictures, plan_pictures
from utils.errors import UserError
from utils.pixels import USUAL_SIZE, size_words
from utils.progress import Bar

VERSION = 2  # of the drawing: another one means other pictures
FOLDS = 10  # of a verification set, as lfw.bin is cut
HELD_OUT = 1 << 24  # number of the first person that training never sees; float32 labels end here anyway
WRONG_LABELS = "wrong_labels.csv"
_SETS = {"demo.bin": (HELD_OUT, USUAL), "demo_hard.bin": (HELD_OUT + (1 << 20), HARD)}


@dataclass(frozen=True)
class DemoParameters:
    """All that the content of a demo dataset depends on."""

    identities: int
    images_per_identity: int  # of the first; others have fewer if there is a long tail
    seed: int
    pairs: int  # in each verification set
    version: int = VERSION
    light: float = 1.0  # factor of what light and color change between pictures
    low_quality: float = 0.0  # share of pictures that are, in the verification sets too
    long_tail: float = 1.0  # the first person has so many times the pictures of the last
    wrong_labels: float = 0.0  # share of pictures in training
    image_size: tuple[int, int] = USUAL_SIZE  # of all pictures; they are drawn at 112x112 and scaled

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
        if not 0 <= self.light <= 4:
            raise UserError(f"light is {self.light:g}: give a factor from 0 to 4.")
        if not 0 <= self.low_quality <= 1:
            raise UserError(f"low_quality is {self.low_quality:g}: give a share from 0 to 1.")
        if not 0 <= self.wrong_labels < 1:
            raise UserError(f"wrong_labels is {self.wrong_labels:g}: give a share from 0 to below 1.")
        if not 1 <= self.long_tail <= self.images_per_identity:
            raise UserError(
                f"long_tail is {self.long_tail:g}: give 1 (none) to {self.images_per_identity}, the pictures of the "
                "first person, so that the last one has any."
            )

    def level(self, usual: Level) -> Level:
        return replace(usual, light=usual.light * self.light, low_quality=self.low_quality)

    def stated(self) -> dict[str, object]:
        """Plain values, without what is as the first demo datasets had it: they stay what they were."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        stated = {name: value for name, (value, usual) in values.items() if name == "version" or value != usual}
        return stated | ({"image_size": size_words(self.image_size)} if "image_size" in stated else {})


def make_demo_dataset(
    out: str | Path, parameters: DemoParameters, workers: int | None = None, force: bool = False
) -> bool:
    """Draw a dataset into the folder `out`; False if the same one is there already and was left alone.

    The folder appears complete or not at all. workers: drawing processes (None: one per usable core), which the bytes
    do not depend on. force: replace a demo dataset made with other parameters. Raises UserError for impossible
    parameters, and where `out` holds anything else.
    """
    out = Path(out).absolute()
    parameters.check()
    if workers is not None and workers < 1:
        raise UserError(f"workers is {workers}: give at least 1.")

    def fill(folder: Path) -> None:
        with _pool(workers or len(os.sched_getaffinity(0))) as pool:
            _write_training_set(folder, parameters, pool)
            for name, (first, level) in _SETS.items():
                _write_pairs(folder / name, parameters, first, parameters.level(level), pool)

    return make_demo_folder(out, "demo dataset", parameters.stated(), force, fill)


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


def _draw_pictures(
    seed: int, people: list[int], numbers: list[int], level: Level, size: tuple[int, int] = USUAL_SIZE
) -> list[bytes]:
    """One task of a drawing process: these pictures, of people who are maybe one and the same, as JPEG."""
    faces = {person: Identity.draw(seed, person) for person in set(people)}
    return [draw_face(seed, *one, level, faces[one[0]], size) for one in zip(people, numbers, strict=True)]


def _draw_groups(
    pool: ProcessPoolExecutor,
    parameters: DemoParameters,
    people: list[list[int]],
    numbers: list[list[int]],
    level: Level,
    what: str,
) -> Iterator[list[bytes]]:
    """The pictures of each group in turn: a person's, or those under a label."""
    total = sum(map(len, people))
    count, at_once = len(people), max(1, 120 * len(people) // total)
    seeds, sizes = [parameters.seed] * count, [parameters.image_size] * count
    drawn = pool.map(_draw_pictures, seeds, people, numbers, [level] * count, sizes, chunksize=at_once)
    with Bar(total=total, desc=f"Drawing {what}", unit="images") as progress:
        for pictures in drawn:
            yield pictures
            progress.update(len(pictures))


def _write_training_set(folder: Path, parameters: DemoParameters, pool: ProcessPoolExecutor) -> None:
    """train.rec, train.idx and property, and which labels are wrong.

    Record 0: flag 2, label [first identity key, end). Then the pictures from key 1 on, the class as their label. Then a
    record per identity: flag 2, label [first, end) of its pictures' keys.
    """
    chosen = plan_pictures(
        parameters.identities,
        parameters.images_per_identity,
        parameters.seed,
        parameters.long_tail,
        parameters.wrong_labels,
    )
    starts = np.searchsorted(chosen.labels, np.arange(parameters.identities + 1)).tolist()
    people, numbers = (
        [rows[first:stop].tolist() for first, stop in pairwise(starts)] for rows in (chosen.people, chosen.numbers)
    )
    pictures_of = _draw_groups(pool, parameters, people, numbers, parameters.level(USUAL), "train.rec")
    from mxnet.recordio import IRHeader, MXIndexedRecordIO, pack  # takes seconds; the processes are drawing meanwhile

    first_identity = 1 + len(chosen.labels)
    record = MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "w")

    def write(key: int, label: float | list[int], payload: bytes = b"") -> None:
        # pack sets the flag to the number of labels where they are a list, and to 0 where the label is one number
        record.write_idx(key, pack(IRHeader(0, label, key, 0), payload))

    write(0, [first_identity, first_identity + parameters.identities])
    for label, pictures in enumerate(pictures_of):
        for key, picture in enumerate(pictures, 1 + starts[label]):
            write(key, float(label), picture)
    for label, (first, stop) in enumerate(pairwise(starts)):
        write(first_identity + label, [1 + first, 1 + stop])
    record.close()
    (folder / "property").write_text("{},{},{}\n".format(parameters.identities, *parameters.image_size))
    if parameters.wrong_labels:
        _write_wrong_labels(folder / WRONG_LABELS, chosen)


def _write_wrong_labels(path: Path, chosen: Pictures) -> None:
    """A line for each picture whose label names somebody else: key in train.rec, label, and who it is."""
    wrong = np.flatnonzero(chosen.wrong)
    lines = zip((1 + wrong).tolist(), chosen.labels[wrong].tolist(), chosen.people[wrong].tolist(), strict=True)
    path.write_text("key,label,person\n" + "".join(f"{key},{label},{person}\n" for key, label, person in lines))


def _write_pairs(path: Path, parameters: DemoParameters, first: int, level: Level, pool: ProcessPoolExecutor) -> None:
    """A verification set: pickle of ([a0, b0, a1, b1, ...] as JPEG bytes, [is a0 the person of b0, ...]).

    As in LFW, a fold is a run of pairs of one person and then as many of two, and nobody is in more than one fold.
    """
    half = parameters.pairs // (2 * FOLDS)
    people = [[person] * 4 for person in range(first, first + half * FOLDS)]
    pictures = list(_draw_groups(pool, parameters, people, [[0, 1, 2, 3]] * len(people), level, path.name))
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
    rows = (_draw_pictures(seed, [first + row] * images, list(range(images)), level) for row in range(identities))
    return np.vstack([np.hstack([cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1) for jpeg in row]) for row in rows])
