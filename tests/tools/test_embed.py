"""tools/embed.py as a user calls it."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from deploy.embedder import load_backbone_embedder
from deploy.images import drawn_faces
from evaluation import embedding_file
from tests.deploy.models import make_model
from tests.ranks import ROOT, rank_environment
from utils.errors import UserError


def command(*arguments) -> list[str]:
    return [sys.executable, "tools/embed.py", *map(str, arguments), "--device", "cpu"]


def embed(*arguments, status: int = 0) -> str:
    """What it prints; with another status its last line on stderr."""
    environment = {**rank_environment(), "PYTHONIOENCODING": "utf-8:surrogateescape"}  # names of files are any bytes
    done = subprocess.run(
        command(*arguments), cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", errors="surrogateescape",
        timeout=300,
    )  # fmt: skip
    assert done.returncode == status, done.stderr[-3000:]
    return done.stderr.strip().splitlines()[-1] if status else done.stdout


@pytest.fixture(scope="module")
def faces():
    """(600, 112, 112, 3): two blocks."""
    return np.tile(drawn_faces(60), (10, 1, 1, 1))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "a model", "mbf_tiny", 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, faces):
    folder = tmp_path_factory.mktemp("faces")
    for number, face in enumerate(faces):
        cv2.imwrite(str(folder / f"{number:03}.bmp"), face[:, :, ::-1])
    return folder


def check(out, model, faces):
    """Some of the embeddings in `out` against OneFlow's."""
    actual, every = np.load(out), slice(None, None, 37)
    embedder, images = load_backbone_embedder(model), faces[every]
    wanted = np.stack([embedder(images), embedder(np.ascontiguousarray(images[:, :, ::-1]))], axis=1)
    assert actual.dtype == np.float32 and len(actual) == len(faces)
    assert np.abs(actual[every] - wanted[:, : actual.shape[1]]).max() < 1e-4 * np.abs(wanted).max()


def test_two_processes_and_a_list(tmp_path, model, folder, faces):
    listed, out = tmp_path / "list.txt", tmp_path / "x.npy"
    listed.write_text("".join(f"{number:03}.bmp {number}\n" for number in range(599, -1, -1)))
    arguments = [listed, "--root", folder, "--model_path", model, "--out", out]
    said = embed(*arguments, "--nproc", 2).strip()
    assert said.startswith(f"{out}: (600, 2, 16) float32 of {listed}") and said.endswith("(onnx)")
    check(out, model, faces[::-1])
    about = json.loads(out.with_suffix(".json").read_text())
    assert (about["count"], about["flip"], about["embedding_size"], about["backend"]) == (600, True, 16, "onnx")
    assert "flip = True, and now it is False" in embed(*arguments, "--no-flip", status=2)


def test_names_of_any_bytes_and_links_that_lead_back(tmp_path, model, faces):
    """Names are no text; a folder that links to itself is walked once."""
    odd = os.fsdecode(b"two words, \xff no UTF-8")
    names = [b"a b.bmp", b"new\nline.bmp", b"\xff.bmp", b"n" * 251 + b".bmp"]
    (tmp_path / odd / "more").mkdir(parents=True)
    for name, face in zip(names, faces, strict=False):
        content = cv2.imencode(".bmp", face[:, :, ::-1])[1].tobytes()
        (tmp_path / odd / "more" / os.fsdecode(name)).write_bytes(content)
    (tmp_path / odd / "more" / "again").symlink_to("..")
    (tmp_path / odd / "loop").symlink_to("loop")
    listed = [name for name in names if b"\n" not in name]
    (tmp_path / "list.txt").write_bytes(b"".join(b'"%s/more/%s"\n' % (os.fsencode(odd), name) for name in listed))
    for source, out, actual in ((odd, "folder.npy", sorted(names)), ("list.txt", "list.npy", listed)):
        embed(tmp_path / source, "--model_path", model, "--out", tmp_path / out)
        check(tmp_path / out, model, faces[[names.index(name) for name in actual]])
        about = json.loads((tmp_path / out).with_suffix(".json").read_text())
        assert about["source"] == str((tmp_path / source).resolve())
    os.mkfifo(tmp_path / odd / "pipe.bmp")
    said = embed(tmp_path / odd, "--model_path", model, "--out", tmp_path / "x.npy", status=2)
    assert said.endswith("pipe.bmp cannot be read: it is no regular file") and not (tmp_path / "x.json").exists()


def test_oneflow_as_the_backend_in_place_of_what_was_there(tmp_path, model, folder, faces):
    out = tmp_path / "x.npy"
    np.save(out, np.zeros(3))
    arguments = ["--model_path", model, "--out", out, "--no-flip", "--backend", "oneflow", "--batch_size", 100]
    assert "neither a folder nor a file" in embed(tmp_path / "none", *arguments, "--force", status=2)
    assert len(np.load(out)) == 3
    gone = [word if word != model else tmp_path / "gone" for word in arguments]
    assert "there is no model at" in embed(folder, *gone, "--force", status=2)
    assert len(np.load(out)) == 3
    notes = tmp_path / "notes.txt"
    notes.write_text("not embeddings")
    assert "ends in .npy" in embed(folder, *arguments, "--out", notes, "--force", status=2)
    assert notes.read_text() == "not embeddings"
    assert embed(folder, *arguments, "--force").strip().endswith("(oneflow)")
    assert np.load(out).shape == (600, 1, 16)
    check(out, model, faces)


def test_a_killed_run_goes_on(tmp_path, model, folder, faces):
    out = tmp_path / "x.npy"
    arguments = [folder, "--model_path", model, "--out", out, "--batch_size", 2]
    with open(os.devnull, "w") as nowhere:
        run = subprocess.Popen(command(*arguments), cwd=ROOT, env=rank_environment(), stderr=nowhere, stdout=nowhere)
    blocks = embedding_file.unfinished(out) / "blocks"
    while not blocks.exists() or 1 not in blocks.read_bytes():
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not out.exists() and 0 in blocks.read_bytes()
    with pytest.raises(UserError, match="not finished"):
        embedding_file.load_embeddings(out)
    embed(*arguments)
    check(out, model, faces)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.json", "x.npy"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("{tmp}/none", "--model_path", "{model}", "--out", "{tmp}/x.npy"), "neither a folder nor a file"),
        (("{tmp}/list.txt", "--model_path", "{model}", "--out", "{tmp}/x.npy"), "list.txt, line 2: "),
        (("{folder}", "--model_path", "{tmp}/none", "--out", "{tmp}/x.npy"), "there is no model at"),
        (("{folder}", "--model_path", "{model}", "--out", "{tmp}/x.txt"), "ends in .npy"),
        (("{folder}", "--model_path", "{model}", "--out", "{tmp}/x.npy", "--nproc", "0"), "--nproc: 0 is not possible"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, model, folder, arguments, sentence):
    (tmp_path / "list.txt").write_text(f"{folder}/000.bmp\nmissing.bmp\n")
    places = {"tmp": tmp_path, "model": model, "folder": folder}
    said = embed(*(word.format(**places) for word in arguments), status=2)
    assert "error: " in said and sentence in said
    assert [file.name for file in tmp_path.iterdir()] == ["list.txt"]
