"""Damaged and crafted files are refused in a sentence or harmless: a few of each format; `tests.fuzz.run` does more."""

import pytest

from tests.fuzz.attacks import ATTACKS
from tests.fuzz.formats import _MODULES, FORMATS, modules
from tests.fuzz.judge import ACCEPTED, FAULTS, REFUSED
from tests.fuzz.pool import run_tasks
from tests.fuzz.readers import readers
from tests.fuzz.run import attacks, mutations

_MUTATIONS = 12  # of each format
_OWN_WORK = "reads what a process of the same run has written a moment ago"
_SYSTEM = "reads files of the system or of this repository"
EXEMPT = {
    "data.augment.operations": "decodes what it has encoded itself",
    "deploy.images": "decodes what it has drawn itself",
    "deploy.onnx_quantize": _OWN_WORK,
    "deploy.torch_bridge": "runs apart, in a Python that need not have anything of ours; torch reads weights alone",
    "deploy.torch_weights": _OWN_WORK,
    "export": "reads a config as text, to say it again",
    "launch.process": _OWN_WORK,
    "launch.rendezvous": _SYSTEM,
    "launch.wire": "reads sockets, not files; tests/launch/test_meeting.py has its strangers",
    "native.build": _SYSTEM,
    "native.library": _SYSTEM,
    "native.paths": _SYSTEM,
    "pages.page": _SYSTEM,
    "pages.uplot": _SYSTEM,
    "planning.inference": _OWN_WORK,
    "planning.measure": _OWN_WORK,
    "planning.memory": _SYSTEM,
    "planning.rank": _OWN_WORK,
    "planning.report": _SYSTEM,
    "preparation.align.report": _OWN_WORK,
    "preparation.align.run": "compares a file's text with another",
    "preparation.convert.spark": "writes an archive",
    "preparation.drawn.dataset": "decodes what it has drawn itself",
    "preparation.edit.write": _OWN_WORK,
    "preparation.inspect.dataset": _OWN_WORK,
    "utils.config.grammar": _SYSTEM,
    "utils.cpu": _SYSTEM,
    "utils.environment": _SYSTEM,
    "utils.cpu_wait": _SYSTEM,
}


def faults_of(tasks):
    actual = [(task, fate, said) for task, fate, said in run_tasks(tasks)]
    assert len(actual) == len(tasks)
    return actual


def test_damage_is_refused_or_harmless():
    actual = faults_of(mutations(None, _MUTATIONS * len(FORMATS), seed=2))
    assert not [result for result in actual if result[1] in FAULTS]
    refused = {task["format"] for task, fate, _ in actual if fate == REFUSED}
    assert len(refused) > len(FORMATS) / 2  # the damage is such that most readers notice


def test_crafted_files_are_refused():
    actual = faults_of(attacks())
    assert not [result for result in actual if result[1] in FAULTS]
    accepted = [task["attack"] for task, fate, _ in actual if fate == ACCEPTED]
    assert not [name for name in accepted if not ATTACKS[name].harmless]


def test_every_reader_of_files_has_a_mutator():
    covered = {module for form in FORMATS.values() for module in form.covers}
    actual = readers()
    assert not actual.keys() - covered - EXEMPT.keys(), "give the new reader a format in tests/fuzz/formats"
    assert not covered & EXEMPT.keys()
    assert not EXEMPT.keys() - actual.keys(), "it reads no files any more"


def test_formats_are_where_they_are_looked_for():
    assert modules() == {name: list(names) for name, names in _MODULES.items()}


def test_a_reader_is_seen(tmp_path, monkeypatch):
    (tmp_path / "new.py").write_text("import numpy as np\nx = np.load('x')\nopen('y', 'w')\n")
    monkeypatch.setattr("tests.fuzz.readers.MODULES", {"room.new": tmp_path / "new.py"})
    assert readers() == {"room.new": [2]}


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_the_same_for_the_same_seed(name, tmp_path):
    import random

    mutate = FORMATS[name].mutator(FORMATS[name].files[0])
    content = b'{"a": [1, 2, {"b": "c"}], "d": 3.5}' * 1
    first, again, other = (mutate(random.Random(seed), content) for seed in (5, 5, 6))
    assert first == again
    assert first != content or other != content
