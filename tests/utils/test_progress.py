"""Progress bars: numbers with separators, on terminals only."""

import io

from utils.progress import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def last(screen: io.StringIO) -> str:
    return screen.getvalue().replace("\n", "\r").rstrip("\r ").rpartition("\r")[2]


def test_large_numbers_have_separators() -> None:
    screen = Terminal()
    with Bar(total=12_000, desc="Writing", unit="records", file=screen, ncols=100) as bar:
        bar.update(12_000)
    assert last(screen).startswith("Writing: 100%|")
    assert "12,000 of 12,000 [" in last(screen)
    assert last(screen).endswith("records/s]")


def test_what_is_done_already_is_no_speed() -> None:
    screen = Terminal()
    with Bar(total=10, initial=9, desc="Training", unit="steps", file=screen, ncols=80):
        assert "9 of 10 [00:00<?, 0.00 steps/s" in last(screen)


def test_a_file_gets_no_bar() -> None:
    file = io.StringIO()
    assert list(Bar(range(3), desc="Writing", unit="images", file=file)) == [0, 1, 2]
    assert file.getvalue() == ""
