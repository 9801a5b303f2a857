"""The floors of the house: a room imports rooms below its own floor, and none above or beside it."""

import ast
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]

# From the ground up. A folder with a floor of its own stands with its path; all else belongs to the folder around it.
HOUSE = (
    ("utils",),
    ("native",),
    ("launch", "data", "data.drawn", "backbones", "losses", "optim", "pages"),
    ("heads", "tracking"),
    ("evaluation",),
    ("deploy", "recognition"),
    ("engine", "preparation"),
    ("planning",),
    ("train", "val", "export", "tools"),
)
WORKSHOP = (
    ("preparation",),  # its docstring
    ("preparation.workers", "preparation.record_sets"),
    ("preparation.sources",),
    ("preparation.convert",),
    ("preparation.edit", "preparation.inspect", "preparation.drawn", "preparation.align"),
    ("preparation.clean",),
)
APART = {"configs", "tests"}  # run files build on each other alone, and tests import whatever they test


def modules() -> dict[str, Path]:
    """All of this repository's but those of `APART`, by their dotted names."""
    paths = [path for path in REPO.glob("*.py") if path.stem not in APART]
    for folder in REPO.iterdir():
        if (folder / "__init__.py").exists() and folder.name not in APART:
            paths += folder.rglob("*.py")
    return {".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


MODULES = modules()


@cache
def imports(module: str) -> frozenset[str]:
    """Our own modules that `module` imports, anywhere in its text."""
    actual, text = set(), MODULES[module].read_text()
    if "pkgutil.iter_modules(__path__)" in text:  # a room whose files register themselves
        actual.update(name for name in MODULES if name.rpartition(".")[0] == module)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            actual.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports from a dot"
            actual.add(node.module)
            actual.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(actual & MODULES.keys())


def floors(plan: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    return {room: number for number, rooms in enumerate(plan) for room in rooms}


def room(module: str, plan: tuple[tuple[str, ...], ...]) -> str | None:
    """The room of `plan` that a module is in."""
    parts = module.split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((name for name in names if name in floors(plan)), None)


def reached(module: str) -> set[str]:
    """The modules that importing `module` can import."""
    seen, left = set(), [module]
    while left:
        if (name := left.pop()) not in seen:
            seen.add(name)
            parts = name.split(".")
            packages = {".".join(parts[:count]) for count in range(1, len(parts))} & MODULES.keys()
            left += imports(name) | packages
    return seen


def test_every_module_has_a_room():
    assert not [name for name in MODULES if room(name, HOUSE) is None], "give the new room a floor in HOUSE"


@pytest.mark.parametrize("plan", [HOUSE, WORKSHOP], ids=["house", "workshop"])
def test_no_room_imports_one_above_or_beside_it(plan):
    number = floors(plan)
    wrong = [
        f"{module} imports {other}"
        for module in MODULES
        for other in sorted(imports(module))
        if (here := room(module, plan)) and (there := room(other, plan)) and here != there
        if number[there] >= number[here]
    ]
    assert not wrong


def test_nothing_that_trains_imports_the_workshop():
    actual = reached("train")
    assert {"engine.trainer", "data.loader"} <= actual
    assert not [name for name in actual if room(name, HOUSE) in ("preparation", "recognition", "planning", "tools")]


def test_data_holds_what_training_reads():
    assert not {name for name in MODULES if room(name, HOUSE) == "data"} - reached("train")
