"""The planting of faults: which there are, that one is planted at a time, and that what survives is reported."""

import ast
import json

import pytest

from tests.mutation import run
from tests.mutation.faults import faults_of
from tests.mutation.tree import Tree

TEXT = '''"""A docstring is no code."""

LIMIT: int = 3


def least(values: list[int], above: int = 0) -> int:
    found = [value for value in values if value > above and not value == 7]
    if not found:
        raise ValueError(f"{len(values) + 1} values")
    print("é", 2.5)
    return found[0] if LIMIT - 1 else -1
'''


def test_a_file_has_these_faults():
    actual = [(fault.line, fault.before, fault.after) for fault in faults_of(TEXT.encode())]
    assert actual == [
        (3, "3", "(4)"),
        (6, "0", "(1)"),
        (7, "value > above", "(value >= above)"),
        (7, "value > above and not value == 7", "(value > above or not value == 7)"),
        (7, "not value == 7", "(value == 7)"),
        (7, "value == 7", "(value != 7)"),
        (7, "7", "(8)"),
        (8, "not found", "(found)"),
        (10, 'print("é", 2.5)', "pass"),
        (10, "2.5", "(5.0)"),
        (11, "found[0] if LIMIT - 1 else -1", "(-1 if LIMIT - 1 else found[0])"),
        (11, "0", "(1)"),
        (11, "LIMIT - 1", "(LIMIT + 1)"),
        (11, "1", "(2)"),
        (11, "-1", "(1)"),
        (11, "1", "(2)"),
    ]


def test_each_fault_is_a_file_of_its_own():
    planted = {fault.planted(TEXT.encode()) for fault in faults_of(TEXT.encode())}
    assert len(planted) == len(faults_of(TEXT.encode()))
    assert all(ast.dump(ast.parse(text)) != ast.dump(ast.parse(TEXT)) for text in planted)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A repository of one room, whose tests find some faults."""
    root = tmp_path / "repository"
    for folder in ("room", "tests/room"):
        (root / folder).mkdir(parents=True)
    (root / "room/sums.py").write_text("def twice(x):\n    return x + x\n\n\ndef unseen(x):\n    return x * 3\n")
    (root / "tests/room/test_other.py").write_text("def test_it():\n    assert True\n")
    (root / "tests/room/test_sums.py").write_text(
        "from room.sums import twice\n\n\ndef test_it():\n    assert twice(2) == 4\n"
    )
    monkeypatch.setattr("tests.mutation.tree.ROOT", root)
    return root


def test_what_survives_is_told_and_the_repository_stays_as_it_is(small, tmp_path, capsys):
    before = {path: path.read_bytes() for path in small.rglob("*.py")}
    report = tmp_path / "found.json"
    assert run.main(["room", "--json", str(report)]) == 1
    assert {path: path.read_bytes() for path in small.rglob("*.py")} == before
    results = [json.loads(line) for line in report.read_text().splitlines()]
    fates = {(result["line"], result["after"]): result["fate"] for result in results}
    assert fates == {(2, "(x - x)"): "killed", (6, "(x / 3)"): "survived", (6, "(4)"): "survived"}
    assert "test_sums.py::test_it" in results[0]["by"]
    assert "3 faults, 1 found, 2 survived" in capsys.readouterr().out
    (small / "tests/room/test_unseen.py").write_text(
        "from room.sums import unseen\n\n\ndef test_it():\n    assert unseen(2) == 6\n"
    )
    assert run.main(["room", "--again", str(report), "--nearest", "--passed"]) == 0
    assert "2 faults, 2 found, 0 survived" in capsys.readouterr().out


def test_a_sample_is_the_same_for_the_same_seed(small, capsys):
    drawn = []
    for seed in (1, 1):
        run.main(["room/sums.py", "--limit", "2", "--seed", str(seed), "--passed"])
        drawn.append([line.split(" s  ")[1] for line in capsys.readouterr().out.splitlines()[:-1]])
    assert drawn[0] == drawn[1] and len(drawn[0]) == 2


def test_tests_that_fail_without_a_fault_are_refused(small, capsys):
    (small / "tests/room/test_other.py").write_text("def test_it():\n    assert False\n")
    assert run.main(["room"]) == 2
    assert "fail without a fault" in capsys.readouterr().out


def test_the_nearest_tests_come_first(small):
    tree = Tree(small.with_name("copy"))
    (module,) = tree.modules("room")
    tests = tree.tests([tree.mirror("room")])
    assert [test.name for test in tree.nearest_first(module, tests)] == ["test_sums.py", "test_other.py"]
    assert [test.name for test in tree.nearest_first(module, tests, only_nearest=True)] == ["test_sums.py"]
