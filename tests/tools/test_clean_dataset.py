"""tools/clean_dataset.py as a user calls it, on sets whose wrong labels are known."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.manifest import Manifest
from deploy.embedder import load_backbone_embedder
from deploy.weights import WEIGHTS
from engine.checkpoint import save_checkpoint
from tests.data.ofrecord_sets import contents, face, make_set, read_records
from tests.deploy.models import make_model
from tests.engine.test_checkpoint import OneRank
from tests.ranks import ROOT, rank_environment
from tools.clean_dataset import main
from utils.errors import UserError
from utils.tensor_file import read_tensors

PEOPLE, IMAGES, WRONG = 12, 10, 24  # of 120 images a fifth is labeled wrong
EMPTY = 5  # a class whose images are far apart
SIZE = 32


class Planted:
    """A converted set with wrong labels, what is wrong in it, and embeddings of who is really there."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        people = np.repeat(np.arange(PEOPLE), IMAGES)
        labels = people.copy()
        for strange in (1, 2):  # two images of each person are labeled as the next two people
            labels[strange::IMAGES] = (people[strange::IMAGES] + strange) % PEOPLE
        jpegs = [face(person, image) for person in range(PEOPLE) for image in range(IMAGES)]
        self.folder = make_set(folder / "faces", jpegs, labels, PEOPLE)
        names = [f"person {label}" for label in range(PEOPLE)]
        (self.folder / "classes.txt").write_text("\n".join(names) + "\n")
        self.records = read_records(self.folder)
        who = dict(zip(jpegs, people.tolist(), strict=True))
        self.people = np.array([who[jpeg] for _, jpeg in self.records])
        self.labels = np.array([label for label, _ in self.records])
        self.wrong = self.people != self.labels
        self.axes = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0].astype(np.float32)
        rows = self.axes[self.people] + rng.normal(size=(len(people), SIZE)).astype(np.float32) * 0.05
        self.embeddings = write_embeddings(folder / "x.npy", rows * 20)

    def dropped(self, out: Path) -> np.ndarray:
        """(N,) bool, from the list that a person reads."""
        gone = np.zeros(len(self.records), bool)
        starts = np.cumsum([0, *(part.records for part in Manifest.load(self.folder).parts)])
        for row in table(out, "dropped.csv"):
            record = starts[int(row["part"].removeprefix("part-"))] + int(row["record"])
            assert int(row["label"]) == self.labels[record] and float(row["angle"]) >= 75
            gone[record] = True
        return gone


def write_embeddings(path: Path, rows: np.ndarray) -> Path:
    np.save(path, rows[:, None].astype(np.float32))
    about = {"count": len(rows), "flip": False, "embedding_size": rows.shape[1], "dtype": "float32"}
    path.with_suffix(".json").write_text(json.dumps(about))
    return path


def table(out: Path, name: str) -> list[dict]:
    with open(out / "cleaning" / name, newline="") as file:
        return list(csv.DictReader(file))


def save_run(folder: Path, centers: np.ndarray, backbone: dict[str, np.ndarray]) -> Path:
    """A run's folder with a checkpoint of these centers, (C, K, E)."""
    about = {"step": 7, "ranks": 1, "best_step": 7, "network": "mbf_tiny"}
    about |= {"embedding_size": centers.shape[-1], "num_classes": len(centers)}
    state = {"center_updates": np.array([7])}
    tensors = {"head.weight": centers.astype(np.float32)}
    save_checkpoint(folder / "checkpoints", about, backbone, state, tensors, {}, OneRank(), 3)
    return folder


def clean(*arguments) -> int:
    return main([*map(str, arguments), "--workers", "1"])


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return Planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("model") / "model", "mbf_tiny", SIZE)
    return read_tensors(folder / WEIGHTS)


def test_class_means_drop_what_is_wrong_and_nothing_else(planted, tmp_path, capsys):
    out, before = tmp_path / "clean", contents(planted.folder)
    clean(planted.folder, "--embeddings", planted.embeddings, "--out", out)
    assert contents(planted.folder) == before
    np.testing.assert_array_equal(planted.dropped(out), planted.wrong)
    kept = [record for record, wrong in zip(planted.records, planted.wrong, strict=True) if not wrong]
    assert read_records(out) == kept
    assert f"{WRONG} of 120 images dropped (20.0%), by class means" in capsys.readouterr().out
    summary = json.loads((out / "cleaning/summary.json").read_text())
    assert (summary["images"], summary["kept"], summary["dropped"], summary["identities_left"]) == (120, 96, 24, 12)
    counts = table(out, "counts.csv")
    assert [int(row["images"]) for row in counts] == np.bincount(planted.labels).tolist()
    assert [int(row["dropped"]) for row in counts] == np.bincount(planted.labels[planted.wrong], minlength=12).tolist()
    assert all(int(row["images"]) == int(row["votes_0"]) for row in counts)
    sheet = cv2.imread(str(out / "cleaning/dropped.png"))
    assert sheet.shape[0] == 112 * len(np.unique(planted.labels[planted.wrong]))
    assert cv2.imread(str(out / "cleaning/angles.png")) is not None
    assert table(out, "merge.csv") == table(out, "split.csv") == []
    assert Manifest.load(out).source["cleaned"]["angle"] == 75


def test_an_empty_class_vanishes_and_the_others_are_renumbered(planted, tmp_path):
    # An image here and there of a class is all that is left of it, all of them far from each other.
    rows = np.load(planted.embeddings)[:, 0]
    members = np.flatnonzero(planted.labels == EMPTY)
    rows[members] = np.eye(SIZE)[np.arange(len(members))] + 0.1
    embeddings = write_embeddings(tmp_path / "x.npy", rows)
    out = tmp_path / "clean"
    clean(planted.folder, "--embeddings", embeddings, "--out", out, "--angle", 40, "--rows", 0)
    gone = {int(row["label"]) for row in table(out, "counts.csv") if row["kept"] == "0"}
    assert EMPTY in gone
    left = [label for label in range(PEOPLE) if label not in gone]
    assert (out / "classes.txt").read_text().split("\n")[:-1] == [f"person {label}" for label in left]
    assert {label for label, _ in read_records(out)} == set(range(len(left)))
    assert Manifest.load(out).num_classes == len(left)
    assert not (out / "cleaning/dropped.png").exists()


def test_sub_centers_that_the_run_trained_decide(planted, backbone, tmp_path):
    # Of three centers the last is the person; the second is who some wrong labels show, and the first is nobody.
    centers = np.stack([-planted.axes[:PEOPLE], np.roll(planted.axes[:PEOPLE], 1, 0), planted.axes[:PEOPLE]], axis=1)
    run, out = save_run(tmp_path / "run", centers * 3, backbone), tmp_path / "clean"
    clean(planted.folder, "--embeddings", planted.embeddings, "--checkpoint", run, "--out", out)
    np.testing.assert_array_equal(planted.dropped(out), planted.wrong)
    for row in table(out, "counts.csv"):
        assert row["dominant"] == "2"
        assert sum(int(row[f"votes_{k}"]) for k in range(3)) == int(row["images"])
    (run / "checkpoints/step-00000007/rank-00000.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="is not a whole checkpoint"):
        clean(planted.folder, "--embeddings", planted.embeddings, "--checkpoint", run, "--out", tmp_path / "other")


def test_lists_are_reviewed_and_applied(planted, backbone, tmp_path, capsys):
    # Classes 0 and 1 become one person under two labels; class 2 holds two people.
    rows = planted.axes[planted.people].copy()
    rows[planted.people == 1] = planted.axes[0] + 0.2 * planted.axes[1]
    second = np.flatnonzero((planted.labels == 2) & ~planted.wrong)[::2]
    rows[second] = planted.axes[14]
    embeddings = write_embeddings(tmp_path / "x.npy", rows)
    centers = np.stack([planted.axes[:PEOPLE], np.roll(planted.axes, -12, 0)[:PEOPLE]], axis=1)
    centers[1, 0] = rows[planted.people == 1][0]
    run, first, applied = save_run(tmp_path / "run", centers, backbone), tmp_path / "first", tmp_path / "applied"
    given = (planted.folder, "--checkpoint", run, "--embeddings", embeddings)
    clean(*given, "--out", first)
    assert [(row["label"], row["other"]) for row in table(first, "merge.csv")] == [("0", "1")]
    assert [row["label"] for row in table(first, "split.csv")] == ["2"]
    assert "1 pairs to merge" in capsys.readouterr().out
    lists = ("--merge", first / "cleaning/merge.csv", "--split", first / "cleaning/split.csv")
    clean(*given, "--out", applied, *lists)

    table_of = dict(read_pairs(read_records(applied), planted))
    expected = {0: {0, 1}, 1: {2}, 10: {11}, 11: {2}}  # 0 and 1 are one, so all others move up; half of 2 is the last
    for label, people in expected.items():
        assert table_of[label] == people
    names = (applied / "classes.txt").read_text().split("\n")
    assert names[:2] == ["person 0", "person 2"] and names[11] == "person 2"
    moved = {jpeg for label, jpeg in read_records(applied) if label == 11}
    assert moved == {planted.records[record][1] for record in second}
    with pytest.raises(UserError, match="--split needs a checkpoint"):
        clean(planted.folder, "--embeddings", embeddings, "--out", tmp_path / "none", *lists[2:])


def read_pairs(records, planted):
    """(label, the persons that have it)."""
    who = dict(zip((jpeg for _, jpeg in planted.records), planted.people.tolist(), strict=True))
    for label in {label for label, _ in records}:
        yield label, {who[jpeg] for other, jpeg in records if other == label}


def run_tool(*arguments, status=0):
    command = [sys.executable, "tools/clean_dataset.py", *map(str, arguments), "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, env=rank_environment(), capture_output=True, text=True, timeout=250)
    assert done.returncode == status, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1] if status else done.stdout


def test_a_checkpoint_embeds_and_is_judged_by_its_own_centers(planted, backbone, tmp_path):
    run, out = save_run(tmp_path / "run", np.eye(SIZE)[: PEOPLE * 2].reshape(PEOPLE, 2, SIZE), backbone), tmp_path / "c"
    run_tool(planted.folder, "--checkpoint", run, "--out", out, "--angle", 90)
    pixels = np.stack(
        [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB) for _, jpeg in planted.records]
    )
    exact = load_backbone_embedder(run / "checkpoints/step-00000007")(pixels)
    held = np.load(tmp_path / "c-embeddings.npy")
    assert held.shape == (120, 1, SIZE)
    np.testing.assert_allclose(held[:, 0], exact, rtol=1e-2, atol=1e-3)
    said = run_tool(planted.folder, "--checkpoint", run, "--out", out, status=2)
    assert "exists; --force replaces it" in said

    other = save_run(tmp_path / "other", np.ones((PEOPLE, 1, SIZE)), {key: 2 * row for key, row in backbone.items()})
    with pytest.raises(UserError, match="holds embeddings of another model"):
        clean(
            planted.folder,
            "--checkpoint",
            other,
            "--embeddings",
            tmp_path / "c-embeddings.npy",
            "--out",
            tmp_path / "d",
        )


MOMENTS = {
    "the beginning": lambda pid, folder: "_multiarray_umath" in maps(pid),  # NumPy is being imported
    "the import of OneFlow": lambda pid, folder: "_oneflow_internal" in maps(pid),
    "embedding": lambda pid, folder: (folder / "c-embeddings.npy.unfinished").exists(),
    "writing": lambda pid, folder: (folder / ".c.unfinished").exists(),
}


def maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_ends_with_a_word_and_nothing_half_written(planted, backbone, tmp_path, moment):
    run = save_run(tmp_path / "run", np.eye(SIZE)[: PEOPLE * 2].reshape(PEOPLE, 2, SIZE), backbone)
    command = [sys.executable, "tools/clean_dataset.py", planted.folder, "--checkpoint", run, "--out", tmp_path / "c"]
    command += ["--angle", "90", "--device", "cpu", "--workers", "1"]
    process = subprocess.Popen(
        [*map(str, command)], cwd=ROOT, env=rank_environment(), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not MOMENTS[moment](process.pid, tmp_path):
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said[-2000:]
    assert said.splitlines()[-1].lower().startswith("stopped") and "Traceback" not in said
    left = {path.name for path in tmp_path.iterdir()} - {"run"}
    assert left <= {"c-embeddings.npy.unfinished", "c-embeddings.npy", "c-embeddings.json"}
    if left:
        run_tool(planted.folder, "--checkpoint", run, "--out", tmp_path / "c", "--angle", 90, "--workers", 1)
        assert Manifest.load(tmp_path / "c").num_records and not list(tmp_path.glob("*unfinished*"))


def test_mistakes_are_sentences(planted, backbone, tmp_path):
    out, embeddings = tmp_path / "out", ("--embeddings", planted.embeddings)
    run = save_run(tmp_path / "run", np.ones((3, 2, SIZE)), backbone)
    (tmp_path / "empty/checkpoints").mkdir(parents=True)
    (tmp_path / "list.csv").write_text("label,other\n0,12\n")
    (tmp_path / "words.csv").write_text("a,b\n1,2\n")
    for words, sentence in (
        ((), "give --checkpoint"),
        (("--model_path", run, *embeddings), "--model_path is for class means"),
        (("--model_path", tmp_path / "none"), "there is no model at"),
        (("--checkpoint", run, *embeddings), "was trained on 3 identities, and the dataset has 12"),
        (("--checkpoint", tmp_path / "empty", *embeddings), "holds no checkpoint"),
        (("--checkpoint", tmp_path / "none", *embeddings), "is not a whole checkpoint"),
        ((*embeddings, "--angle", 0), "--angle 0 is not possible"),
        ((*embeddings, "--angle", "nan"), "--angle nan is not possible"),
        ((*embeddings, "--mixed_share", 0.6), "--mixed_share 0.6 is not possible"),
        ((*embeddings, "--rows", -1), "--rows -1 is not possible"),
        ((*embeddings, "--merge", tmp_path / "list.csv"), "line 2: the set has no identity 12"),
        ((*embeddings, "--merge", tmp_path / "words.csv"), "needs a first line with the column"),
        ((*embeddings, "--angle", 0.001), "No image is left"),
        ((*embeddings, "--num_part", 500), "--num_part 500 is not possible"),
    ):
        with pytest.raises(UserError, match=sentence):
            clean(planted.folder, "--out", out, *words)
        assert not out.exists() and not list(tmp_path.glob("*unfinished*"))
    write_embeddings(tmp_path / "few.npy", np.ones((5, 4)))
    said = run_tool(planted.folder, "--embeddings", tmp_path / "few.npy", "--out", out, status=2)
    assert said.startswith("error: ") and "holds the embeddings of 5 images" in said
