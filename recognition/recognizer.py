"""A detector and a model together: faces of pictures to embeddings, people to a gallery, pictures to names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.align import align
from evaluation.sources import read_image
from evaluation.verification import combine_flip
from recognition.face import Detect, Face
from recognition.gallery import Gallery
from recognition.people import Labeled
from recognition.search import Match, nearest
from utils.errors import UserError
from utils.pixels import USUAL_SIZE, ImageShape, fitted, size_words
from utils.progress import Bar

_BATCH = 16  # faces embedded at a time

Embed = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Found:
    """A face of a picture and the people of the gallery most like it, the best first."""

    face: Face
    matches: list[Match]

    def name(self, threshold: float) -> str | None:
        """Who it is, or None where nobody's cosine reaches `threshold`."""
        best = self.matches[0]
        return best.name if best.score >= threshold else None


@dataclass(frozen=True)
class Indexed:
    """A gallery, and what was not as it should be in its pictures."""

    gallery: Gallery
    without_face: list[Labeled]  # left out
    several_faces: list[Labeled]  # of which the largest was taken


def unit_embeddings(embed: Embed, crops: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Aligned faces (N, H, W, 3) uint8 RGB to unit rows (N, E) float32, each of the face and its mirror image.

    The two are added, as verification does, so that a threshold found there holds here. Raises UserError with the name
    of an image whose embedding is zero or not finite.
    """
    rows = combine_flip(embed(crops), embed(np.ascontiguousarray(crops[:, :, ::-1])))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)))
    if bad.size:
        raise UserError(f"the model gives no usable embedding for {names[bad[0]]}: its weights may have diverged")
    return (rows / norms).astype(np.float32)


def crop_size(taken: tuple[int, int]) -> tuple[int, int]:
    """The size to which faces are aligned for a model that takes `taken`, (height, width): its own if it is taller than
    112 pixels, so that a face is as sharp as its picture, else 112x112, which are then scaled down as in training.
    """
    return taken if taken[0] > USUAL_SIZE[0] else USUAL_SIZE


def index(
    embed: Embed,
    detect: Detect | None,
    pictures: Sequence[Labeled],
    about: dict,
    size: tuple[int, int] = USUAL_SIZE,
) -> Indexed:
    """A gallery of the largest face of each picture; detect None: the pictures are faces, aligned already.

    size: `crop_size` of the model. Raises UserError where a picture cannot be read, an aligned one is of neither that
    size nor 112x112 pixels, or no face is found at all.
    """
    rows: list[np.ndarray] = []
    crops: list[np.ndarray] = []  # that `rows` has no embeddings of yet
    known: list[Labeled] = []
    without: list[Labeled] = []
    several: list[Labeled] = []

    def embed_crops() -> None:
        if crops:
            rows.append(unit_embeddings(embed, np.stack(crops), [str(each.path) for each in known[-len(crops) :]]))
            crops.clear()

    for picture in Bar(pictures, desc="Finding faces", unit="images"):
        pixels = read_image(picture.path, picture.where)
        if detect is None:
            if pixels.shape[:2] not in (USUAL_SIZE, size):
                wanted = " or ".join(map(size_words, dict.fromkeys((USUAL_SIZE, size))))
                raise UserError(
                    f"{picture.where}{picture.path} is {size_words(pixels.shape)} pixels, not {wanted} as aligned "
                    "faces are; leave --aligned out"
                )
            crops.append(fitted(pixels, ImageShape(*size)))
        else:
            faces = detect(pixels)
            if len(faces) > 1:
                several.append(picture)
            if not faces:
                without.append(picture)
                continue
            crops.append(align(pixels, faces[0].landmarks, size))
        known.append(picture)
        if len(crops) == _BATCH:
            embed_crops()
    embed_crops()
    if not known:
        raise UserError(f"no face is found in any of the {len(pictures)} pictures; try another detector, or --aligned")
    names, sources = [picture.name for picture in known], [str(picture.path) for picture in known]
    gallery = Gallery.build(np.concatenate(rows), names, sources, about)
    return Indexed(gallery, without, several)


def recognize(
    embed: Embed,
    detect: Detect,
    gallery: Gallery,
    picture: np.ndarray,
    count: int,
    size: tuple[int, int] = USUAL_SIZE,
) -> list[Found]:
    """The faces of a picture (H, W, 3) uint8 RGB, from left to right, each with the `count` people most like it.

    size: `crop_size` of the model.
    """
    faces = sorted(detect(picture), key=lambda face: float(face.box[0]))
    if not faces:
        return []
    crops = np.stack([align(picture, face.landmarks, size) for face in faces])
    rows = unit_embeddings(embed, crops, [f"face {number}" for number in range(1, len(faces) + 1)])
    return [Found(face, matches) for face, matches in zip(faces, nearest(gallery, rows, count), strict=True)]
