"""Help: it is shown by any Python, and says what the programs' parsers say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.write_help import help_texts, programs
from utils.environment import HELP

REPO = Path(__file__).resolve().parents[2]


def test_the_stored_texts_are_those_of_the_programs():
    stored = {path.name: path.read_text() for path in HELP.glob("*.txt")}
    written = dict(help_texts())
    assert stored.keys() == written.keys(), "python tools/write_help.py"
    assert [name for name in stored if stored[name] != written[name]] == [], "python tools/write_help.py"


def test_each_text_has_a_purpose_and_an_example():
    for path in HELP.glob("*.txt"):
        text = path.read_text()
        assert "python tools/" in text or "python -m tools." in text or "./" in text, path


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A clone without an environment, and a Python that sees no packages of ours."""
    root = tmp_path_factory.mktemp("bare") / "clone"
    for folder in ("tools", "utils", "docs/help"):
        shutil.copytree(REPO / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for program in ("train.py", "val.py", "export.py"):
        shutil.copy(REPO / program, root)
    return root


@pytest.mark.parametrize("module", programs())
def test_help_needs_no_packages(module, bare):
    command = [sys.executable, "-E", "-S", f"{module.replace('.', '/')}.py", "--help"]
    done = subprocess.run(command, cwd=bare, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (HELP / f"{module.rpartition('.')[2]}.txt").read_text()


def test_commands_have_texts_of_their_own(bare):
    command = [sys.executable, "-E", "-S", "tools/edit_dataset.py", "merge", "--help"]
    done = subprocess.run(command, cwd=bare, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == (HELP / "edit_dataset-merge.txt").read_text()


def test_the_help_of_training_names_each_way_to_start_it():
    usage = (HELP / "train.txt").read_text().partition("\n\n")[0]
    assert all(program in usage for program in ("train_graph_distributed.sh", "train_ddp.sh", "python train.py"))


def test_help_begins_with_what_an_option_is():
    for path in HELP.glob("*.txt"):
        words = re.findall(r"^  -\S.*?(?:  +|\n {20,})(\w+) ", path.read_text(), re.MULTILINE)
        assert "of" not in words, path
