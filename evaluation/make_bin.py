"""Verification sets of one's own: pairs drawn from people, and their images as InsightFace's `.bin` wants them.

Pairs are cut into folds as LFW's are (Huang et al., 2007): a fold is a run of pairs of one person and then as many of
two, and the folds lie one after another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from evaluation.sources import SUFFIXES, decode_rgb
from evaluation.verification import FOLDS
from utils.errors import UserError
from utils.pixels import USUAL_SIZE, size_words

_KEPT = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}  # what every reader of these sets decodes

Pair = tuple[Path, Path, bool]


def people_in(folder: Path) -> dict[str, list[Path]]:
    """The images of each person, by the name of the person's folder in `folder`; both sorted.

    Names with a leading dot are left out.

    Raises UserError where there is no such folder, or no image in any folder in it.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give a folder that holds one folder of images for each person")
    people = {}
    for person in sorted(path for path in _shown(folder) if path.is_dir()):
        images = sorted(path for path in _shown(person) if path.suffix.lower() in SUFFIXES)
        if images:
            people[person.name] = images
    if not people:
        kinds = ", ".join(sorted(SUFFIXES))
        raise UserError(f"{folder} holds no folders of images ({kinds}); it takes one folder for each person")
    return people


def _shown(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def draw_pairs(
    people: Sequence[Sequence[Path]], pairs: int, seed: int, folds: int = FOLDS, disjoint: bool = False
) -> list[Pair]:
    """`pairs` different pairs, as many of one person as of two in each of `folds` folds.

    As in LFW people count alike, whether they have two images or hundreds: no person (and no two people) gives a second
    pair before all that can have given a first. disjoint: a person's images are all in one fold.

    Raises UserError where `pairs` do not make balanced folds, or more than can be had.
    """
    if pairs < 2 * folds or pairs % (2 * folds):
        raise UserError(
            f"{pairs} pairs are not possible: {folds} folds that are half same and half different take a multiple of "
            f"{2 * folds}"
        )
    rng = np.random.default_rng(seed)
    half = pairs // (2 * folds)
    groups = _deal(people, folds, rng) if disjoint else [people]
    wanted = half if disjoint else half * folds
    room = [min(_same_room(group), _different_room(group)) for group in groups]
    if min(room) < wanted:
        most = 2 * folds * (min(room) if disjoint else room[0] // folds)
        raise UserError(
            f"{pairs} pairs are not possible: {len(people)} people with {sum(map(len, people))} images give "
            f"{f'at most {most}' if most else 'none'} in {folds} balanced folds"
            f"{' of different people' if disjoint else ''}; {'ask for fewer, or ' if most else ''}add people and images"
        )
    same = [pair for group in groups for pair in _draw_same(group, wanted, rng)]
    different = [pair for group in groups for pair in _draw_different(group, wanted, rng)]
    runs = [slice(start, start + half) for start in range(0, half * folds, half)]
    return [pair for run in runs for drawn in (same, different) for pair in drawn[run]]


def _deal(people: Sequence[Sequence[Path]], folds: int, rng: np.random.Generator) -> list[list[Sequence[Path]]]:
    """People to folds, like cards from the one with most images down and back and forth, so that folds are alike."""
    order = sorted(rng.permutation(len(people)), key=lambda person: -len(people[person]))
    groups: list[list[Sequence[Path]]] = [[] for _ in range(folds)]
    for number, person in enumerate(order):
        turn, place = divmod(number, folds)
        groups[place if turn % 2 == 0 else folds - 1 - place].append(people[person])
    return groups


def _same_room(people: Sequence[Sequence[Path]]) -> int:
    """How many pairs of one person there are."""
    return sum(len(images) * (len(images) - 1) // 2 for images in people)


def _different_room(people: Sequence[Sequence[Path]]) -> int:
    """How many pairs of two people there are."""
    counts = [len(images) for images in people]
    return (sum(counts) ** 2 - sum(count**2 for count in counts)) // 2


def _draw_same(people: Sequence[Sequence[Path]], wanted: int, rng: np.random.Generator) -> list[Pair]:
    able = [images for images in people if len(images) > 1]
    room = np.array([len(images) * (len(images) - 1) // 2 for images in able])
    drawn = []
    shares = _share_out(wanted, room, rng)
    for person in np.flatnonzero(shares):
        images = able[person]
        for number in rng.choice(room[person], shares[person], replace=False):
            first, second = _two_of(int(number))
            drawn.append((images[first], images[second], True))
    return _shuffled(drawn, rng)


def _draw_different(people: Sequence[Sequence[Path]], wanted: int, rng: np.random.Generator) -> list[Pair]:
    couples = len(people) * (len(people) - 1) // 2
    if wanted <= couples:  # of which a million people have too many to list
        chosen, shares = rng.choice(couples, wanted, replace=False), np.ones(wanted, int)
    else:
        chosen = np.arange(couples)
        room = [len(people[first]) * len(people[second]) for first, second in map(_two_of, range(couples))]
        shares = _share_out(wanted, np.array(room), rng)
    drawn = []
    for couple, share in zip(chosen, shares, strict=True):
        first, second = (people[person] for person in _two_of(int(couple)))
        for number in rng.choice(len(first) * len(second), share, replace=False):
            drawn.append((first[number // len(second)], second[number % len(second)], False))
    return _shuffled(drawn, rng)


def _two_of(number: int) -> tuple[int, int]:
    """The numbers 0, 1, 2, ... as all pairs of a smaller and a larger one: (0, 1), (0, 2), (1, 2), (0, 3), ..."""
    larger = int((1 + np.sqrt(1 + 8 * number)) // 2)
    larger -= larger * (larger - 1) // 2 > number  # where the root was rounded up
    return number - larger * (larger - 1) // 2, larger


def _share_out(wanted: int, room: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many of `wanted` each takes, (n,): all alike as far as there is `room` (n,); chance decides the last."""
    shares = np.zeros_like(room)
    while left := wanted - shares.sum():
        able = np.flatnonzero(shares < room)
        each = left // len(able)
        if each:
            shares[able] += np.minimum(each, room[able] - shares[able])
        else:
            shares[rng.choice(able, left, replace=False)] += 1
    return shares


def _shuffled(drawn: list[Pair], rng: np.random.Generator) -> list[Pair]:
    return [drawn[number] for number in rng.permutation(len(drawn))]


@dataclass
class EncodedImages:
    """Images as a `.bin` holds them, each file read once.

    JPEG and PNG files of `image_size` keep their bytes, others become PNG, which loses nothing. Images of another size
    are a fault, unless `resize` says to scale them.
    """

    resize: bool = False
    image_size: tuple[int, int] = USUAL_SIZE
    resized: list[Path] = field(default_factory=list)  # whose pixels are not the file's
    converted: list[Path] = field(default_factory=list)  # whose bytes are not the file's
    _encoded: dict[Path, bytes] = field(default_factory=dict)
    _faults: list[str] = field(default_factory=list)

    def read(self, files: Sequence[Path]) -> list[bytes]:
        """The images' bytes, in order. Raises UserError naming those that cannot be read, decoded or used."""
        for file in dict.fromkeys(files):
            if file not in self._encoded:
                self._encoded[file] = self._encode(file)
        if self._faults:
            first, more = "; ".join(self._faults[:5]), len(self._faults) - 5
            raise UserError(f"{first}{f'; and {more} more' if more > 0 else ''}")
        return [self._encoded[file] for file in files]

    def _encode(self, file: Path) -> bytes:
        if file.exists() and not file.is_file():
            return self._fault(f"{file} is no regular file")
        try:
            content = file.read_bytes()
        except OSError as error:
            return self._fault(f"{file} cannot be read: {error.strerror}")
        rgb = decode_rgb(np.frombuffer(content, np.uint8))
        if rgb is None:
            return self._fault(f"{file} is no image that decodes")
        size = rgb.shape[:2]
        if size == self.image_size and image_suffix(content):
            return content
        if size != self.image_size:
            if not self.resize:
                wanted = f"not {size_words(self.image_size)} (height x width)"
                return self._fault(f"{file} is {size_words(size)} pixels, {wanted}: align it, or give --resize")
            self.resized.append(file)
            shrinks = all(side > wanted for side, wanted in zip(size, self.image_size, strict=True))
            kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            rgb = cv2.resize(rgb, self.image_size[::-1], interpolation=kind)
        self.converted.append(file)
        return encode_png(rgb)

    def _fault(self, sentence: str) -> bytes:
        self._faults.append(sentence)
        return b""


def image_suffix(content: bytes) -> str | None:
    """`.jpg` or `.png` as the bytes of a file begin, None for all other formats."""
    return next((suffix for magic, suffix in _KEPT.items() if content.startswith(magic)), None)


def encode_png(rgb: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as the bytes of a PNG file."""
    return cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))[1].tobytes()
