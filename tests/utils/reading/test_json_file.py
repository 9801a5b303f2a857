"""JSON of strangers: every way of being broken is one sentence that names the file."""

import json
import os

import pytest

from utils.errors import UserError
from utils.reading.faults import broken_file, shown
from utils.reading.json_file import (
    check_fields,
    has_fields,
    is_count,
    is_number,
    is_positive,
    is_text,
    list_of,
    optional,
    read_object,
)


def read(tmp_path, content, **options):
    (tmp_path / "x.json").write_bytes(content)
    return read_object(tmp_path / "x.json", "is damaged", "make it again", **options)


def test_an_object_is_read(tmp_path):
    value = {"a": [1, {"b": None}], "c": "[[[[" * 100, "d": '"\\[', "ü": 1.5}
    assert read(tmp_path, json.dumps(value, ensure_ascii=False).encode()) == value
    assert read(tmp_path, b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"[1]", "no object of JSON"),
        (b"{", "not JSON"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (b"[" * 10_000_000, "nested too deeply"),
        (b'{"a": "\xff"}', "not JSON: invalid start byte"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON: Exceeds the limit"),
        (b"{}\0", "not JSON"),
    ],
)
def test_what_is_none_is_refused(tmp_path, content, said):
    with pytest.raises(UserError, match=rf"x\.json is damaged: it is {said}.*; make it again"):
        read(tmp_path, content)


def test_size_is_bounded(tmp_path):
    with pytest.raises(UserError, match=r"larger than 1048576 bytes \(--limit json_bytes\)"):
        read(tmp_path, b'{"a": "' + b"x" * (1 << 20) + b'"}', max_bytes=1 << 20)


def test_no_file_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="no regular file"):
        read_object(tmp_path / "pipe", "is damaged")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_object(tmp_path, "is damaged")
    with pytest.raises(FileNotFoundError):
        read_object(tmp_path / "none", "is damaged")


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (is_text, ["", "ü"], [1, None, "a\0", "\ud800", ["a"]]),
        (is_count, [0, 5, (1 << 63) - 1], [-1, 1.0, True, "1", 1 << 63, None]),
        (is_positive, [1], [0, -1, True]),
        (is_number, [0, -1.5, 10**18], [float("nan"), float("inf"), True, "1", 10**400, None]),
        (optional(is_count), [None, 3], [-1, "x"]),
        (list_of(is_count), [[], [1, 2]], [(1,), [1, -1], None, "12"]),
    ],
)
def test_rules(rule, good, bad):
    assert all(map(rule, good))
    assert not any(map(rule, bad))


def test_fields_are_named(tmp_path):
    rules = {"a": is_count, "b": is_text}
    check_fields(tmp_path, {"a": 1, "b": "x", "c": None}, "is damaged", rules)
    with pytest.raises(UserError, match="is damaged: its a is not what it can be; do it again"):
        check_fields(tmp_path, {"a": "1", "b": "x"}, "is damaged", rules, "do it again")
    with pytest.raises(UserError, match="is damaged: its b is missing"):
        check_fields(tmp_path, {"a": 1}, "is damaged", rules)
    assert has_fields({"a": 1, "b": ""}, rules) and not has_fields([], rules) and not has_fields({"a": 1}, rules)


@pytest.mark.parametrize(
    "error", [ValueError("x\ny"), MemoryError(), RecursionError(), KeyError(), OSError(5, "bad disk")]
)
def test_whatever_a_decoder_raises_becomes_a_sentence(error):
    with (
        pytest.raises(UserError, match=r"^f\.x (is broken: .+; mend it|cannot be read: bad disk)$"),
        broken_file("f.x", "is broken", "mend it"),
    ):
        raise error


def test_what_passes():
    for error in (FileNotFoundError(), UserError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)), broken_file("f.x", "is broken"):
            raise error


def test_what_strangers_say_is_short_and_printable():
    assert shown("a\x1b[31m") == "a?[31m"
    assert len(shown("x" * 10_000_000)) < 200
    assert shown(ValueError()) == "ValueError"
    assert shown("\n\n") == ""
