"""Sets made by tools/make_bin.py as InsightFace's own reader takes them, and what the tool refuses."""

import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.drawn import USUAL, draw_face
from evaluation.bin_set import BinSet
from tools.make_bin import main
from utils.errors import UserError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_bin.py"
PEOPLE, IMAGES = 8, 6


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """Folders of drawn faces as JPEG, but one image of each person as PNG."""
    folder = tmp_path_factory.mktemp("people")
    for person in range(PEOPLE):
        home = folder / f"人 {person}"
        home.mkdir()
        for number in range(IMAGES):
            face = draw_face(seed=0, identity=person, image=number, level=USUAL)
            if number:
                (home / f"{number}.jpg").write_bytes(face)
            else:
                cv2.imwrite(str(home / "0.png"), cv2.imdecode(np.frombuffer(face, np.uint8), 1))
    return folder


def insightface_load_bin(path):
    """As arcface_torch's eval/verification.py reads a set: two arrays (images, 3, 112, 112), mirrored last; flags."""
    import mxnet as mx

    with open(path, "rb") as file:
        bins, issame_list = pickle.load(file, encoding="bytes")
    data_list = [np.empty((len(issame_list) * 2, 3, 112, 112)) for _ in range(2)]
    for index in range(len(issame_list) * 2):
        image = mx.image.imdecode(bins[index])
        assert image.shape == (112, 112, 3)
        image = mx.nd.transpose(image, axes=(2, 0, 1))
        for flip in (0, 1):
            data_list[flip][index] = (mx.nd.flip(image, axis=2) if flip else image).asnumpy()
    return data_list, issame_list


def test_insightface_reads_it(people, tmp_path):
    out = tmp_path / "mine.bin"
    main([str(people), "--out", str(out), "--pairs", "200"])
    (pixels, mirrored), issame = insightface_load_bin(out)
    ours = BinSet.load(out)
    assert issame == ours.issame.tolist() == ([True] * 10 + [False] * 10) * 10
    np.testing.assert_array_equal(pixels, ours.decode(0, 400).transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(mirrored, pixels[..., ::-1])

    whose = {file.read_bytes(): file.parent.name for file in people.rglob("*.*")}
    images, _ = pickle.loads(out.read_bytes())
    assert all(image in whose for image in images), "bytes are the files' own"
    assert [whose[a] == whose[b] for a, b in zip(images[::2], images[1::2], strict=True)] == issame
    assert out.stat().st_size < 1.1 * sum(map(len, whose)), "an image in several pairs is in the file once"


def test_a_list_keeps_its_pairs_and_their_order(people, tmp_path):
    files = [f"人 {person}/{number}.jpg" for person, number in ((0, 1), (0, 2), (1, 1), (2, 1), (1, 1), (1, 3))]
    (people / "pairs.txt").write_text("".join(f'"{files[k]}" "{files[k + 1]}" {k // 2 % 2}\n' for k in (0, 2, 4)))
    main([str(people / "pairs.txt"), "--out", str(tmp_path / "a.bin")])
    images, issame = pickle.loads((tmp_path / "a.bin").read_bytes())
    assert issame == [False, True, False]
    assert images == [(people / file).read_bytes() for file in files]


def test_the_seed_decides(people, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        main([str(people), "--out", str(tmp_path / f"{name}.bin"), "--pairs", "40", "--seed", str(seed)])
    a, b, c = ((tmp_path / f"{name}.bin").read_bytes() for name in "abc")
    assert a == b != c


def test_sizes_are_said(people, tmp_path, capsys):
    home = tmp_path / "people" / "x"
    home.mkdir(parents=True)
    for number, size in enumerate((64, 112, 112, 112)):
        cv2.imwrite(str(home / f"{number}.bmp"), np.full((size, size, 3), number, np.uint8))
    (home / "pairs.txt").write_text("0.bmp 1.bmp 1\n2.bmp 3.bmp 1\n")
    arguments = [str(home / "pairs.txt"), "--out", str(tmp_path / "a.bin")]
    with pytest.raises(UserError, match=r"0\.bmp is 64x64 pixels, not 112x112"):
        main(arguments)
    assert not (tmp_path / "a.bin").exists()
    main([*arguments, "--resize"])
    said = capsys.readouterr().out
    assert "1 images were not 112x112 and are scaled, such as" in said and "3 were neither JPEG nor PNG" in said
    assert len(BinSet.load(tmp_path / "a.bin").decode(0, 4)) == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--pairs", "6000"], "8 people with 48 images give at most 240 in 10 balanced folds"),
        (["--pairs", "40", "--disjoint"], "give none in 10 balanced folds of different people"),
        (["--pairs", "30"], "a multiple of 20"),
        (["--seed", "-1"], "0 or more"),
        (["--out", "set.pkl"], r"give a \.bin in a folder that exists"),
        (["--out", "no/such/a.bin"], r"give a \.bin in a folder that exists"),
    ],
)
def test_refused_before_anything_is_written(people, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        main([str(people), "--out", "a.bin", *arguments])
    assert not list(tmp_path.iterdir())


def test_lists_have_their_own_pairs(tmp_path):
    (tmp_path / "pairs.txt").write_text("a.jpg b.jpg 1\n")
    with pytest.raises(UserError, match="lists its own pairs; --pairs"):
        main([str(tmp_path / "pairs.txt"), "--out", str(tmp_path / "a.bin"), "--seed", "0"])
    with pytest.raises(UserError, match="neither a folder of people nor a list"):
        main([str(tmp_path / "nothing"), "--out", str(tmp_path / "a.bin")])


def test_a_set_that_is_there_is_kept(people, tmp_path):
    (tmp_path / "a.bin").write_text("precious")
    arguments = [str(people), "--out", str(tmp_path / "a.bin"), "--pairs", "20"]
    with pytest.raises(UserError, match="exists; --force replaces it"):
        main(arguments)
    assert (tmp_path / "a.bin").read_text() == "precious"
    main([*arguments, "--force"])
    assert len(BinSet.load(tmp_path / "a.bin")) == 40


def test_one_sentence_and_exit_2(tmp_path):
    command = [sys.executable, str(TOOL), "missing", "--out", "a.bin"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 2 and run.stdout == "" and run.stderr.count("\n") == 1
    assert run.stderr.startswith("error: there is neither a folder of people")
