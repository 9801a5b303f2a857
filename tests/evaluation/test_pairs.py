"""Pair lists in every spelling, and mistakes in them named by line."""

import numpy as np
import pytest

from evaluation.pairs import read_pairs
from tests.data.mxnet_sets import jpegs
from utils.errors import UserError

NAMES = ["a/1.jpg", "a/2.jpg", "b c/1.jpg", "Zoë/1.jpg"]


@pytest.fixture
def faces(tmp_path):
    for name, jpeg in zip(NAMES, jpegs(4), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg)
    return tmp_path


def write(folder, text):
    path = folder / "pairs.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        'a/1.jpg a/2.jpg 1\na/1.jpg "b c/1.jpg" 0\nZoë/1.jpg a/2.jpg 0\n',
        "a/1.jpg\ta/2.jpg\t1\r\n\r\na/1.jpg\tb c/1.jpg\t0\r\nZoë/1.jpg\ta/2.jpg\t0",
        '\ufeff"a/1.jpg"   a/./2.jpg 1\n"a/1.jpg"\t"b c/1.jpg"\t 0 \n  Zoë/../Zoë/1.jpg a/2.jpg 0\n\n',
    ],
)
def test_each_image_is_held_once(faces, text):
    listed = read_pairs(write(faces, text))
    assert [listed.images.name(i) for i in range(len(listed.images))] == NAMES
    np.testing.assert_array_equal(listed.pairs, [[0, 1], [0, 2], [3, 1]])
    np.testing.assert_array_equal(listed.issame, [True, False, False])
    assert listed.images.decode(0, 4).shape == (4, 112, 112, 3)


def test_paths_below_a_root_or_absolute(faces, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("elsewhere"), f'a/1.jpg "{faces / "b c/1.jpg"}" 0')
    assert len(read_pairs(path, faces).images.decode(0, 2)) == 2
    with pytest.raises(UserError, match=r"line 1: .*a/1\.jpg cannot be read: No such file"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a/1.jpg a/2.jpg 1\na/1.jpg a/2.jpg\n", r"pairs\.txt, line 2: 2 field\(s\)"),
        ("a/1.jpg b c/1.jpg 0", r"line 1: 4 field\(s\) .* double quotes"),
        ('a/1.jpg "b c/1.jpg 0', r"line 1: 4 field\(s\)"),
        ("\na/1.jpg a/2.jpg 2", "line 2: the label is '2'"),
        ("a/1.jpg a/2.jpg same", "line 1: the label is 'same'"),
        ("a/1.jpg a/2.jpg 1\na/2.jpg a/9.jpg 0", r"line 2: .*a/9\.jpg cannot be read: No such file"),
        ("\n", "lists no pairs"),
        (b"\xff\xfe a", "not a text file in UTF-8"),
    ],
)
def test_mistakes_are_named_by_line(faces, text, sentence):
    with pytest.raises(UserError, match=sentence):
        read_pairs(write(faces, text))


def test_there_is_no_list(tmp_path):
    with pytest.raises(UserError, match=r"none\.txt cannot be read"):
        read_pairs(tmp_path / "none.txt")
