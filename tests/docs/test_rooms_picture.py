"""The picture of the rooms is that of the code, and says of each room what is true."""

import re

from tests.docs.rooms import PICTURE, count_imports, draw, places

_LINE = re.compile(r"<title>(\S+) imports (\S+): (\d+)</title>")


def test_the_picture_shows_the_rooms_that_import_each_other_today():
    """How wide a line is may lag behind."""
    drawn = {pair[:2] for pair in _LINE.findall(PICTURE.read_text())}
    assert drawn == count_imports().keys(), "python -m tests.docs.rooms draws it again"


def test_every_line_goes_down_and_every_room_has_its_box():
    text, middle = draw(), places()
    assert set(re.findall(r"<text [^>]*>([^<]+)</text>", text)) == set(middle)
    lines = _LINE.findall(text)
    assert {(above, below): int(count) for above, below, count in lines} == dict(count_imports())
    assert ("engine", "heads") in {(above, below) for above, below, _ in lines}
    assert all(middle[above][1] < middle[below][1] for above, below, _ in lines)
