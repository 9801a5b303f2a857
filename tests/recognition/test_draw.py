"""Names in pictures: drawn in the scripts that the font has, a number otherwise, and never outside the picture."""

import matplotlib
import numpy as np
import pytest

from recognition.draw import KNOWN, UNKNOWN, Font, Label, annotate
from recognition.face import Face
from utils.errors import UserError

SIZE = (300, 400)


def label(name, box=(150, 120, 80, 80), number=1, score=0.5):
    landmarks = np.array([[170, 150], [210, 150], [190, 165], [175, 185], [205, 185]], np.float32)
    return Label(Face(np.array(box, np.float32), landmarks, None, "eyes"), number, name, score)


def drawn(*labels):
    return annotate(np.zeros((*SIZE, 3), np.uint8), labels, Font())


def test_boxes_landmarks_and_names():
    known, unknown = drawn(label("Анна")), drawn(label(None))
    assert known.shape == (*SIZE, 3) and known.dtype == np.uint8
    for picture, color in ((known, KNOWN), (unknown, UNKNOWN)):
        for x, y in ((150, 160), (230, 160), (190, 200), (170, 150), (205, 185)):
            assert picture[y, x].tolist() == list(color)
    assert (known[100:118] == 255).any() and not (known[:90] != 0).any(), "white letters right above the box"
    assert not (drawn() != 0).any()


def test_names_of_other_scripts_are_told_apart():
    pictures = [drawn(label(name)) for name in ("Анна", "Ελένη", "José", "نور")]
    assert all((one != other).any() for k, one in enumerate(pictures) for other in pictures[:k])


def test_a_number_where_the_font_lacks_the_script():
    font = Font()
    assert font.lacks("Ελένη 王小明王") == "王小明" and font.lacks("José Łukasz Анна 한") == "한"
    np.testing.assert_array_equal(drawn(label("王小明", number=3)), drawn(label("#3")))
    assert (drawn(label("王小明", number=3)) != drawn(label("李娜", number=4))).any()


@pytest.mark.parametrize("box", [(0, 0, 80, 80), (380, 250, 80, 80), (-30, -30, 90, 90), (350, 5, 60, 60)])
def test_labels_stay_inside(box):
    name = drawn(label("A rather long name", box))
    assert ((name == 255).all(axis=2).sum()) == ((drawn(label("A rather long name")) == 255).all(axis=2).sum())


def test_fonts():
    folder = matplotlib.get_data_path() + "/fonts/ttf/"
    assert Font(folder + "DejaVuSansMono.ttf").lacks("Ω") == ""
    for bad in (folder + "missing.ttf", __file__):
        with pytest.raises(UserError, match="is no font that can be read"):
            Font(bad)
