"""What was found, drawn into the picture: boxes, landmarks, names in any script that the font has."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from recognition.face import Face
from utils.errors import UserError

KNOWN, UNKNOWN = (0, 114, 178), (213, 94, 0)  # blue and vermilion, which the color-blind tell apart


@dataclass(frozen=True)
class Label:
    """A face and what to write at it."""

    face: Face
    number: int  # of the face in the picture
    name: str | None  # None: nobody that is known
    score: float  # cosine


class Font:
    """A font file, and which characters it has.

    The default is DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew and others, but not
    Chinese, Japanese or Korean.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Raises UserError where there is no font at `path`."""
        self.path = path or Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
        try:
            ImageFont.truetype(self.path)
            self._characters = FT2Font(str(self.path)).get_charmap()
        except (OSError, RuntimeError) as error:
            raise UserError(f"{self.path} is no font that can be read: {error}") from None

    def lacks(self, text: str) -> str:
        """The characters of `text` it does not have."""
        return "".join(letter for letter in dict.fromkeys(text) if ord(letter) not in self._characters)

    def sized(self, size: int) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(self.path, size)


def annotate(picture: np.ndarray, labels: Sequence[Label], font: Font) -> np.ndarray:
    """The picture (H, W, 3) uint8 RGB with its faces marked, as another of that shape.

    A face's label is its name and cosine, or `unknown`. A name with characters that the font lacks is replaced by the
    face's number, #1, #2, ..., rather than by empty boxes.
    """
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    line = max(2, max(image.size) // 400)
    letters = font.sized(max(12, max(image.size) // 45))
    for label in labels:
        color = UNKNOWN if label.name is None else KNOWN
        left, top, width, height = label.face.box.tolist()
        draw.rectangle((left, top, left + width, top + height), outline=color, width=line)
        for x, y in label.face.landmarks.tolist():
            draw.ellipse((x - line, y - line, x + line, y + line), fill=color)
    for label in labels:  # after all boxes, so that none crosses a name
        _write(draw, image.size, label, _text(label, font), letters)
    return np.asarray(image)


def _text(label: Label, font: Font) -> str:
    name = "unknown" if label.name is None else label.name
    if font.lacks(name):
        name = f"#{label.number}"
    return f"{name} {label.score:.2f}"


def _write(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], label: Label, text: str, letters: ImageFont.FreeTypeFont
) -> None:
    """On a colored ground above the box, or within where there is no room above, and inside the picture."""
    ascent, descent = letters.getmetrics()
    gap = descent // 2
    width, height = draw.textlength(text, letters) + 2 * gap, ascent + descent
    left, top = label.face.box[:2].tolist()
    left = max(0.0, min(left, size[0] - width))
    top = max(0.0, top - height if top >= height else top)
    color = UNKNOWN if label.name is None else KNOWN
    draw.rectangle((left, top, left + width, top + height), fill=color)
    draw.text((left + gap, top), text, font=letters, fill="white")
