"""The converter on Spark as a user runs it: on all cores here, from a store by URL, killed in the middle, mistaken."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from data.manifest import Manifest
from preparation.convert.to_ofrecord import Settings, convert
from tests.data.mxnet_sets import jpegs, write_set
from tests.preparation.sources.people import COUNTS, as_folder, as_recordio
from tools.spark_2_ofrecord import main
from utils.errors import UserError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "spark_2_ofrecord.py"

pytest.importorskip("pyspark", reason="./setup.sh spark installs PySpark")
if not shutil.which("java"):
    pytest.skip("Spark needs Java 17", allow_module_level=True)


LOCAL = ["--master", "local[2,4]", "--conf", "spark.ui.enabled=false"]


@pytest.fixture(autouse=True)
def python(monkeypatch):
    """Of the tasks; the tool would set it for good."""
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)


def parts(folder):
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


@pytest.fixture
def ftp(tmp_path):
    """The URL of a server of the folder `tmp_path / "store"`."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    (tmp_path / "store").mkdir()
    users = DummyAuthorizer()
    users.add_user("anna", "secret", str(tmp_path / "store"), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": users})
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"ftp://anna:secret@127.0.0.1:{server.address[1]}"
    server.close_all()


def test_from_a_store_to_a_store(ftp, tmp_path, capsys):
    source = as_recordio(tmp_path / "store" / "faces")
    convert(Settings(source, tmp_path / "alone", num_part=2))
    words = [f"{ftp}/faces", "--out", f"{ftp}/sets/out", "--num_part", "2", *LOCAL]
    main(words)
    said = capsys.readouterr().out
    assert f"{sum(COUNTS)} images of {len(COUNTS)} identities in 2 parts" in said
    output = tmp_path / "store" / "sets" / "out"
    assert parts(output) == parts(tmp_path / "alone")
    Manifest.load(output).check(output)
    assert b"secret" not in (output / "dataset.json").read_bytes() and "secret" not in said
    assert sorted(path.name for path in output.iterdir()) == sorted(
        path.name for path in (tmp_path / "alone").iterdir()
    )
    with pytest.raises(UserError, match="already holds a finished set; --force replaces it"):
        main(words)


def wait_for_notes(output, count, process):
    while len(list(output.glob("_converting/part-*.json"))) < count and process.poll() is None:
        time.sleep(0.002)


def tasks_of(process):
    """The Python processes in which the tasks of a running tool are: children of children of its Java."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    java = [child for child, parent in parents.items() if parent == process.pid]
    daemons = [child for child, parent in parents.items() if parent in java]
    return [child for child, parent in parents.items() if parent in daemons]


def test_killed_tasks_and_a_killed_tool_lose_nothing(tmp_path):
    images = jpegs(30)
    source = write_set(tmp_path / "faces", [images[i % 30] for i in range(90)], [float(i % 10) for i in range(90)])
    convert(Settings(source, tmp_path / "alone", num_part=30))
    output = tmp_path / "out"
    words = [str(source), "--out", str(output), "--num_part", "30", *LOCAL]
    process = subprocess.Popen([sys.executable, TOOL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_notes(output, 2, process)
    tasks = tasks_of(process)
    assert tasks
    for task in tasks:
        os.kill(task, signal.SIGKILL)
    wait_for_notes(output, 6, process)  # Spark has begun new ones
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 6 <= len(list(output.glob("part-?????"))) < 30 and not (output / "_SUCCESS").exists()
    main(words)
    assert sorted(path.name for path in output.iterdir()) == sorted(
        path.name for path in (tmp_path / "alone").iterdir()
    )
    assert parts(output) == parts(tmp_path / "alone")


FAULTS = {
    "no source": (["nowhere", "--out", "out"], "nowhere is neither a file nor a folder."),
    "a setting without a value": (["people", "--out", "out", "--conf", "spark.x"], "--conf takes KEY=VALUE"),
    "another kind by URL": (["people", "--out", "memory://out"], "A URL can name a set of recordio; people (folder)"),
    "a store that nothing opens": (["s4://faces", "--out", "out"], "s4://faces cannot be reached: "),
    "a master that is none": (["people", "--out", "out", "--master", "nobody"], "Spark does not start: "),
    "too many parts": (
        ["people", "--out", "out", "--master", "local[1]", "--num_part", "11"],
        "--num_part 11 is more than the 10 record",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_sentences(tmp_path, monkeypatch, name):
    words, expected = FAULTS[name]
    monkeypatch.chdir(tmp_path)
    as_folder(tmp_path / "people")
    with pytest.raises(UserError) as raised:
        main(words)
    assert expected in str(raised.value) and "\n" not in str(raised.value)
    assert not list(tmp_path.glob("out/part-*"))


def test_a_machine_without_java_is_told_what_to_install(tmp_path, monkeypatch):
    as_folder(tmp_path / "people")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(UserError, match="Spark needs Java 17, and there is no java here: install openjdk"):
        main([str(tmp_path / "people"), "--out", str(tmp_path / "out")])
