"""Pictures with several people in them, made of drawn faces, and where real ones are found in installed packages."""

from pathlib import Path

import cv2
import insightface
import numpy as np
import skimage

from data.drawn import USUAL, draw_face

ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"
FRIENDS = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
GRAY = 110


def crop(person: int, image: int) -> np.ndarray:
    """A drawn face, (112, 112, 3) uint8 RGB."""
    jpeg = draw_face(seed=0, identity=person, image=image, level=USUAL)
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)


def scene(faces: list[np.ndarray], side: int = 140, gap: int = 60) -> np.ndarray:
    """The faces in a row, each `side` pixels wide, with `gap` around each; (side + 2 gap, ..., 3) uint8 RGB."""
    picture = np.full((side + 2 * gap, gap + len(faces) * (side + gap), 3), GRAY, np.uint8)
    for number, face in enumerate(faces):
        left = gap + number * (side + gap)
        picture[gap : gap + side, left : left + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    return picture


def save(path: Path, rgb: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return path
