"""The token is made once, seen by nobody else, and what is wrong with it is said."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from launch import token
from launch.token import read_token
from tests.nodes import two_nodes
from utils.errors import UserError


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(token, "_WAIT", 0.3)


def test_node_0_makes_the_file_and_says_what_to_type(tmp_path):
    path = tmp_path / "token"
    made, said = read_token({"MASTER_TOKEN_FILE": str(path)}, 0, "10.0.0.1")
    assert said.endswith(f"type on each of the others, once: scp 10.0.0.1:{path} {path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(made) >= 32 and made.decode() not in said
    for node in (0, 1):
        assert read_token({"MASTER_TOKEN_FILE": str(path)}, node, "10.0.0.1") == (made, "")


def test_it_is_another_one_each_time(tmp_path):
    assert len({read_token({"MASTER_TOKEN_FILE": str(tmp_path / str(n))}, 0, "a")[0] for n in range(5)}) == 5


def test_runs_that_begin_at_once_make_one(tmp_path):
    environ = {"MASTER_TOKEN_FILE": str(tmp_path / "token")}
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda node: read_token(environ, node, "a")[0], [0, 1, 0, 1, 0, 1]))
    assert len(set(tokens)) == 1
    assert os.listdir(tmp_path) == ["token"]


def test_a_file_that_another_is_making_is_left_to_it(tmp_path):
    """Of a process with the same number in another container."""
    theirs = tmp_path / f"token.{os.getpid()}"
    theirs.write_text("theirs")
    _, said = read_token({"MASTER_TOKEN_FILE": str(tmp_path / "token")}, 0, "a")
    assert said.startswith("Made ") and theirs.read_text() == "theirs"
    assert sorted(os.listdir(tmp_path)) == ["token", theirs.name]


def test_it_is_on_the_disk_before_it_is_used(tmp_path, monkeypatch):
    """Machines keep copies of it: it must not be another one, or empty, after a power cut."""
    done, fsync, link = [], os.fsync, os.link
    synced = lambda handle: (done.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))  # noqa: E731
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", lambda old, new: (done.append(("link", old)), link(old, new)))
    read_token({"MASTER_TOKEN_FILE": str(tmp_path / "token")}, 0, "a")
    unfinished = done[0]
    assert done == [unfinished, ("link", unfinished), str(tmp_path)]


def test_the_variable_comes_before_the_file(tmp_path):
    environ = {"MASTER_TOKEN": "x" * 16, "MASTER_TOKEN_FILE": str(tmp_path / "token")}
    assert read_token(environ, 0, "a") == (b"x" * 16, "")
    assert not os.listdir(tmp_path)


def test_without_a_token_the_others_say_what_to_type(tmp_path):
    path = tmp_path / "token"
    with pytest.raises(
        UserError, match=rf"^Node 1 has no token to show .*: scp 10\.0\.0\.1:{path} {path} .*MASTER_TOKEN"
    ):
        read_token({"MASTER_TOKEN_FILE": str(path)}, 1, "10.0.0.1")


@pytest.mark.parametrize(
    "text", ["", "short", "x" * 1025, "with a space in the midst", "ümlaut" * 9, "x" * 16 + "\n" + "y" * 16]
)
def test_what_is_no_token_is_refused_and_not_shown(tmp_path, text):
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    for environ, source in (({"MASTER_TOKEN": text}, "MASTER_TOKEN"), ({"MASTER_TOKEN_FILE": str(path)}, str(path))):
        with pytest.raises(UserError, match=rf"^{source} is no token: it needs 16 to 1024 letters") as error:
            read_token(environ, 0, "a")
        assert not text or text not in str(error.value)


def test_a_secret_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "token"
    path.write_text("x" * 32)
    path.chmod(0o640)
    with pytest.raises(UserError, match=f"chmod 600 {path}$"):
        read_token({"MASTER_TOKEN_FILE": str(path)}, 1, "a")


def test_a_file_that_cannot_be_made_or_read_is_said(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("folder", "missing/token", "folder/" + "x" * 300):
        with pytest.raises(UserError, match=r"cannot be used \(.*\); set MASTER_TOKEN|is a secret|no token to show"):
            read_token({"MASTER_TOKEN_FILE": str(tmp_path / name)}, 0, "a")


def test_launchers_make_and_take_it_and_their_ranks_do_not_see_it(tmp_path):
    script = tmp_path / "rank.py"
    script.write_text("import os; print('MASTER_TOKEN' in os.environ)")
    path = tmp_path / "token"
    with two_nodes() as nodes:
        first = nodes.launch(0, str(script), MASTER_TOKEN_FILE=str(path), MASTER_TOKEN=None)
        second = nodes.launch(1, str(script), MASTER_TOKEN_FILE=str(path), MASTER_TOKEN=None)
        said, heard = (process.communicate(timeout=30)[0] for process in (first, second))
        assert said.startswith(f"Made {path}, ") and said.endswith("\nFalse\n")
        assert heard == "False\n"
        both = nodes.launch_both(str(script))
        assert [process.communicate(timeout=30)[0] for process in both] == ["False\n"] * 2
