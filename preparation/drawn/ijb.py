"""A small IJB-B or IJB-C of drawn faces, in exactly the layout of the real one, which cannot be shipped.

There are loose crops with landmarks, templates of images and videos, pairs, galleries and probes; the files are those
that evaluation/ijb_meta.py describes.
"""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from data.drawn import HARD, USUAL, Identity, Nuisance, encode_face, render
from data.drawn.geometry import SIZE
from evaluation.align import REFERENCE
from evaluation.ijb_meta import GALLERIES
from preparation.drawn.dataset import HELD_OUT
from preparation.drawn.folder import make_demo_folder
from utils.errors import UserError
from utils.progress import Bar

VERSION = 1  # of the drawing: another one means other pictures
_FIRST_PERSON = HELD_OUT + (2 << 20)  # neither trained on nor in the demo's verification sets
_MISSED = 0.03  # share of images in which the detector saw no face
_HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT"
# What each person's templates hold: stills, and frames of the person's one video.
_GALLERY = (3, 0)
_PROBES = ((1, 0), (2, 4), (1, 3))


@dataclass(frozen=True)
class DemoIjb:
    """All that the content of a demo benchmark depends on."""

    target: str  # "IJBB" or "IJBC"
    people: int
    seed: int
    version: int = VERSION

    def check(self) -> None:
        """Raises UserError at a value with which there is nothing to compare."""
        if not 4 <= self.people <= 1 << 20:
            raise UserError(f"people is {self.people}: give 4 to {1 << 20}, two and more for each gallery")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}: give 0 or more")


@dataclass(frozen=True)
class _Image:
    """One row of the meta files."""

    number: int  # from 1
    person: int
    template: int
    media: int
    file: str  # as the original benchmark calls it
    landmarks: np.ndarray  # (5, 2)
    score: float
    box: tuple[int, int, int, int]  # of the face: x, y, width, height


def make_demo_ijb(root: Path, parameters: DemoIjb, force: bool = False) -> bool:
    """Draws the benchmark into `root`/target; False if the same one is there already and was left alone.

    The folder appears complete or not at all. force: replace a demo benchmark made with other parameters. Raises
    UserError for impossible parameters, and where the folder holds anything else or cannot be written.
    """
    parameters.check()
    out = root.absolute() / parameters.target

    def fill(folder: Path) -> None:
        (folder / "loose_crop").mkdir()
        (folder / "meta").mkdir()
        _write_meta(folder / "meta", parameters, list(_draw(folder / "loose_crop", parameters)))

    return make_demo_folder(out, "demo benchmark", asdict(parameters), force, fill)


def loose_crop(face: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An aligned face (112, 112, 3) turned, scaled and moved in a larger picture, and the matrix (2, 3) that did it.

    The surroundings have the crop's colors, out of focus.
    """
    angle, scale = rng.normal(0.0, 0.2), rng.uniform(0.7, 1.8)
    side = SIZE * scale * (abs(math.cos(angle)) + abs(math.sin(angle)))
    width, height = (side * rng.uniform(1.1, 1.4, 2)).astype(int).tolist()
    middle = np.array([width, height]) / 2 + rng.uniform(-0.04, 0.04, 2) * side
    linear = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.column_stack([linear, middle - linear @ (SIZE / 2, SIZE / 2)])
    colors = cv2.resize(face, (5, 5), interpolation=cv2.INTER_AREA)
    picture = cv2.resize(colors, (width, height), interpolation=cv2.INTER_LINEAR)
    cv2.warpAffine(face, matrix, (width, height), picture, cv2.INTER_CUBIC, cv2.BORDER_TRANSPARENT)
    return picture, matrix


def _draw(folder: Path, parameters: DemoIjb) -> Iterator[_Image]:
    """Draws every image into the folder, in the order of templates: those of the galleries, then the probes'."""
    people = range(parameters.people)
    plan = [(person, 0, _GALLERY) for person in people]
    plan += [(person, 1 + probe, _PROBES[probe]) for person in people for probe in range(len(_PROBES))]
    total = sum(map(sum, (_GALLERY, *_PROBES))) * parameters.people
    number, medias = 0, len(people)  # the first media are the people's videos
    with Bar(total=total, desc=f"Drawing {parameters.target}", unit="images") as progress:
        for template, (person, part, (stills, frames)) in enumerate(plan, start=1):
            face = Identity.draw(parameters.seed, _FIRST_PERSON + person)
            for image in range(stills + frames):
                number += 1
                is_frame = image >= stills
                medias += not is_frame
                media = 1 + person if is_frame else medias
                rng = np.random.default_rng([parameters.seed, _FIRST_PERSON + person, part, image])
                place = Nuisance.draw(np.random.default_rng([parameters.seed, media]), HARD) if is_frame else None
                picture, about = _picture(face, rng, place)
                (folder / f"{number}.jpg").write_bytes(picture)
                file = f"frames/{media}_{part}{image}.png" if is_frame else f"img/{media}.jpg"
                yield _Image(number, person, template, media, file, *about)
                progress.update()


def _picture(face: Identity, rng: np.random.Generator, place: Nuisance | None) -> tuple[bytes, tuple]:
    """A JPEG, and landmarks, detector's score and box. place: what all frames of a video share, if it is one."""
    now = Nuisance.draw(rng, HARD if place else USUAL)
    if place:
        kept = {name: getattr(place, name) for name in ("background", "shirt", "light", "gain")}
        now = dataclasses.replace(now, **kept)
    pixels = render(face, now)
    score = 0.999 - 0.2 * (now.occlusion is not None) - 0.05 * now.blur * rng.random()
    if rng.random() < _MISSED:
        pixels, score = cv2.GaussianBlur(pixels, (0, 0), 8), rng.uniform(0.1, 0.3)
    picture, matrix = loose_crop(pixels, rng)
    landmarks = REFERENCE @ matrix[:, :2].T + matrix[:, 2]
    left, top = landmarks.min(axis=0).astype(int).tolist()
    right, bottom = landmarks.max(axis=0).astype(int).tolist()
    return encode_face(picture, now.quality), (landmarks, score, (left, top, right - left, bottom - top))


def _write_meta(folder: Path, parameters: DemoIjb, images: list[_Image]) -> None:
    def write(name: str, lines: Iterator[str]) -> None:
        (folder / f"{parameters.target.lower()}_{name}").write_text("".join(f"{line}\n" for line in lines))

    def table(templates: set[int]) -> Iterator[str]:
        yield _HEADER
        for image in images:
            if image.template in templates:
                values = (image.template, image.person + 1, image.file, image.media, *image.box)
                yield ",".join(map(str, values))

    write("face_tid_mid.txt", (f"{image.number}.jpg {image.template} {image.media}" for image in images))
    write(
        "name_5pts_score.txt",
        (
            f"{image.number}.jpg {' '.join(f'{value:.3f}' for value in image.landmarks.ravel())} {image.score:.3f}"
            for image in images
        ),
    )
    person_of = {image.template: image.person for image in images}
    gallery = [template for template in person_of if template <= parameters.people]
    probes = [template for template in person_of if template > parameters.people]
    pairs = [(first, second, int(person_of[first] == person_of[second])) for first in gallery for second in probes]
    pairs.sort(key=lambda pair: -pair[2])  # the same first
    write("template_pair_label.txt", (f"{first} {second} {label}" for first, second, label in pairs))
    for half, name in enumerate(GALLERIES[parameters.target]):
        chosen = {template for template in gallery if person_of[template] % 2 == half}
        write(f"1N_gallery_{name}.csv", table(chosen))
    write("1N_probe_mixed.csv", table(set(probes)))
