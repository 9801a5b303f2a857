"""Samples of output in the pages."""

from tests.docs.record import REPO, SAMPLE, recorded

PAGE = """Text.

<!-- output: ./one.sh
     keep: Loss|Done -->

```text
old
```

<!-- output: ./two.sh a b -->

```text
```
"""
OUTPUT = "2026-01-02 03:04:05 start\n2026-01-02 03:04:05 Loss 3\nmore\nmore\nLoss 2   \nDone\nend\n"


def test_the_lines_that_are_kept_stand_in_place_of_the_old_ones():
    commands = []
    page = recorded(PAGE, lambda command: commands.append(command) or OUTPUT)
    assert commands == ["./one.sh", "./two.sh a b"]
    assert "Loss 3\n...\nLoss 2\nDone\n```" in page and "old" not in page
    assert "start\nLoss 3\nmore\nmore\nLoss 2\nDone\nend\n```" in page
    assert recorded(page, lambda _: OUTPUT) == page


def test_the_pages_have_samples():
    commands = [match["command"] for path in REPO.glob("docs/*.md") for match in SAMPLE.finditer(path.read_text())]
    assert any("train_graph_distributed.sh" in command for command in commands) and len(commands) >= 4
