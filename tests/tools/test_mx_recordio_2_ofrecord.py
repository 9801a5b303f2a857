"""The converter as a user runs it: exit status, what is printed, and interruptions of every kind."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.manifest import Manifest
from tests.data.mxnet_sets import encode, jpegs, picture, write_set

TOOLS = Path(__file__).resolve().parents[2] / "tools"
RECORDS, PARTS = 600, 200


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("faces"), jpegs(30) * 20, [float(i % 10) for i in range(RECORDS)])


@pytest.fixture(scope="module")
def straight(source, tmp_path_factory):
    """The parts of a conversion that nothing disturbed."""
    output = tmp_path_factory.mktemp("straight")
    run = subprocess.run(command(source, output), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return contents(output)


def command(source, output, *more, tool="mx_recordio_2_ofrecord"):
    paths = ["--data_dir", source, "--output_filepath", output]
    return [sys.executable, TOOLS / f"{tool}.py", *map(str, [*paths, "--num_part", PARTS, "--workers", 1, *more])]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sentence(run):
    """The one line that a failed run printed, after its progress bars."""
    assert "Traceback" not in run.stderr
    lines = run.stderr.splitlines()
    assert len(lines) == 1, run.stderr
    return lines[0]


def test_converts_from_any_folder_and_says_what_it_did(source, straight, tmp_path):
    run = subprocess.run(
        command(source, tmp_path / "out", "--workers", 2), capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "600 images of 10 identities in 200 parts" in run.stdout
    assert "0 repaired by re-encoding, 0 skipped\n" in run.stdout
    assert str(tmp_path / "out") in run.stdout
    assert contents(tmp_path / "out") == straight


def test_the_known_name_is_the_same_tool(source, straight, tmp_path):
    subprocess.run(command(source, tmp_path, tool="mx_recordio_2_ofrecord_shuffled_npart"), check=True)
    assert contents(tmp_path) == straight


def test_says_what_was_repaired_and_where_the_skipped_are_listed(tmp_path):
    images = [*jpegs(3), encode(picture(1), ".png"), b""]
    source = write_set(tmp_path / "faces", images, [0.0, 1.0, 2.0, 3.0, 4.0])
    run = subprocess.run(command(source, tmp_path / "out", "--num_part", 2), capture_output=True, text=True, check=True)
    assert f"1 repaired by re-encoding, 1 skipped, listed in {tmp_path / 'out' / 'skipped.csv'}" in run.stdout
    run = subprocess.run(
        command(source, tmp_path / "strict", "--num_part", 2, "--strict"), capture_output=True, text=True
    )
    assert run.returncode == 2
    assert "which --strict forbids" in sentence(run)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--num_part", "0"], "--num_part must be at least 1, not 0."),
        (["--workers", "-1"], "--workers must be at least 1, not -1."),
        (["--num_part", "604"], "--num_part 604 is more than the 603 record(s)"),
        (["--data_dir", "/nowhere"], "/nowhere/property cannot be read: No such file or directory."),
        (["--output_filepath", "/dev/null/out"], "failed: Not a directory."),
    ],
)
def test_faults_are_one_sentence_and_exit_2(source, tmp_path, more, expected):
    run = subprocess.run(command(source, tmp_path / "out", *more), capture_output=True, text=True)
    assert run.returncode == 2
    assert expected in sentence(run)


def test_a_finished_set_is_refused(source, straight, tmp_path):
    for name, data in straight.items():
        (tmp_path / name).write_bytes(data)
    run = subprocess.run(command(source, tmp_path), capture_output=True, text=True)
    assert run.returncode == 2
    assert "already holds a finished set; --force replaces it." in sentence(run)


def start_and_wait(source, output, *more):
    """A conversion that has finished some parts, but by far not all."""
    process = subprocess.Popen(
        command(source, output, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while len(list(output.glob("_converting/part-*.json"))) < 3 and process.poll() is None:
        time.sleep(0.001)
    return process


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_run_again_gives_the_same_bytes(source, straight, tmp_path, workers):
    process = start_and_wait(source, tmp_path, "--workers", workers)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    time.sleep(0.1)  # its workers die with it
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("part-?????")}
    assert 0 < len(written) < PARTS
    assert not (tmp_path / "dataset.json").exists() and not (tmp_path / "_SUCCESS").exists()
    time.sleep(0.1)
    assert len(list(tmp_path.glob("part-?????"))) == len(written)

    subprocess.run(command(source, tmp_path), check=True, capture_output=True)
    assert contents(tmp_path) == straight
    kept = [name for name, when in written.items() if (tmp_path / name).stat().st_mtime_ns == when]
    assert len(kept) >= len(written) - workers  # a part may have lacked its note


def test_ctrl_c_is_one_sentence_and_the_work_is_kept(source, straight, tmp_path):
    process = start_and_wait(source, tmp_path)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "Stopped; the same command goes on where it stopped."
    assert list(tmp_path.glob("part-?????"))
    subprocess.run(command(source, tmp_path), check=True, capture_output=True)
    assert contents(tmp_path) == straight


def test_two_conversions_into_one_folder(source, straight, tmp_path):
    process = start_and_wait(source, tmp_path)
    process.send_signal(signal.SIGSTOP)
    run = subprocess.run(command(source, tmp_path), capture_output=True, text=True)
    process.send_signal(signal.SIGCONT)
    process.communicate()
    assert run.returncode == 2
    assert "Another conversion is writing into" in sentence(run)
    assert process.returncode == 0
    assert contents(tmp_path) == straight


def test_a_write_that_fails_is_one_sentence_and_the_work_is_kept(source, straight, tmp_path):
    """The system refuses files past 30,000 bytes, as a full disk would: room for the plan, not for a part of 30."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))

    output = tmp_path / "out"
    run = subprocess.run(
        command(source, output, "--num_part", 20), capture_output=True, text=True, preexec_fn=limit, check=False
    )
    assert run.returncode == 2
    assert "failed: File too large." in sentence(run)
    assert not (output / "dataset.json").exists()
    assert not list(output.glob("*.tmp"))
    subprocess.run(command(source, output), check=True, capture_output=True)
    assert contents(output) == straight


def test_index_tool_rebuilds_what_the_converter_wrote(straight, tmp_path):
    for name, data in straight.items():
        if not name.endswith(".npy"):
            (tmp_path / name).write_bytes(data)
    index = [sys.executable, TOOLS / "index_ofrecord.py", tmp_path]
    subprocess.run(index, check=True, capture_output=True)
    assert contents(tmp_path) == straight

    (tmp_path / "dataset.json").unlink()
    run = subprocess.run([*index, "--num_classes", "12"], check=True, capture_output=True, text=True)
    assert run.stdout == "600 images of 12 identities in 200 parts\n"
    manifest = Manifest.load(tmp_path)
    manifest.check(tmp_path, num_ranks=200, num_classes=12, num_image=600)

    (tmp_path / "part-00007").write_bytes(straight["part-00008"])
    run = subprocess.run(index, capture_output=True, text=True)
    assert run.returncode == 2
    assert "are not those of its dataset.json (part-00007 differs)" in run.stderr
    (tmp_path / "part-00007").unlink()
    run = subprocess.run(index, capture_output=True, text=True)
    assert run.returncode == 2
    assert "has part-00008 but no part number 7." in run.stderr
