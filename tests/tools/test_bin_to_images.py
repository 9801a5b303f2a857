"""A set taken apart and put together again is the same set."""

import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.drawn import USUAL, draw_face
from evaluation.bin_set import BinSet, write_bin
from tools import make_bin
from tools.bin_to_images import main
from utils.errors import UserError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "bin_to_images.py"
SAME = [True, False, True, True, False, False]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def lfw(tmp_path) -> Path:
    """JPEGs, one of them twice, and a PNG."""
    images = [draw_face(seed=0, identity=number, image=0, level=USUAL) for number in range(2 * len(SAME))]
    images[3] = images[0]
    images[4] = cv2.imencode(".png", cv2.imdecode(np.frombuffer(images[4], np.uint8), 1))[1].tobytes()
    write_bin(tmp_path / "lfw.bin", images, SAME)
    return tmp_path / "lfw.bin"


def test_there_and_back(lfw, tmp_path):
    main([str(lfw), "--out", str(tmp_path / "out" / "lfw")])
    folder = tmp_path / "out" / "lfw"
    images, _ = pickle.loads(lfw.read_bytes())
    names = [f"images/{number:02}.{'png' if number == 4 else 'jpg'}" for number in range(len(images))]
    assert contents(folder).keys() == {*names, "pairs.txt"}
    assert [(folder / name).read_bytes() for name in names] == images
    listed = [f"{names[2 * k]} {names[2 * k + 1]} {int(same)}" for k, same in enumerate(SAME)]
    assert (folder / "pairs.txt").read_text().splitlines() == listed
    make_bin.main([str(folder / "pairs.txt"), "--out", str(tmp_path / "again.bin")])
    assert pickle.loads((tmp_path / "again.bin").read_bytes()) == pickle.loads(lfw.read_bytes())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["lfw"]


def test_mirror_images_are_those_of_the_pixels(lfw, tmp_path):
    main([str(lfw), "--out", str(tmp_path / "out"), "--flip_test"])
    files = sorted((tmp_path / "out" / "flipped").iterdir())
    assert [file.name for file in files] == [f"{number:02}.png" for number in range(2 * len(SAME))]
    mirrored = np.stack([cv2.imread(str(file))[..., ::-1] for file in files])
    np.testing.assert_array_equal(mirrored, BinSet.load(lfw).decode(0, len(files))[:, :, ::-1])


def test_other_formats_become_png(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    bmp = np.frombuffer(cv2.imencode(".bmp", pixels)[1].tobytes(), np.uint8)
    (tmp_path / "a.bin").write_bytes(pickle.dumps(([bmp, bmp], [True])))  # as arrays, which old sets may hold
    main([str(tmp_path / "a.bin"), "--out", str(tmp_path / "out")])
    assert "2 were neither JPEG nor PNG and are PNG now" in capsys.readouterr().out
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / "images" / "1.png")), pixels)


def test_a_folder_is_replaced_only_when_told_and_only_one_of_ours(lfw, tmp_path):
    ours, precious = tmp_path / "ours", tmp_path / "precious"
    main([str(lfw), "--out", str(ours)])
    (ours / "stale").touch()
    before = contents(ours)
    with pytest.raises(UserError, match="exists; --force replaces it"):
        main([str(lfw), "--out", str(ours)])
    assert contents(ours) == before
    main([str(lfw), "--out", str(ours), "--force"])
    assert contents(ours).keys() == before.keys() - {"stale"}
    precious.mkdir()
    (precious / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"holds files but no pairs\.txt, so it is not replaced"):
        main([str(lfw), "--out", str(precious), "--force"])
    assert contents(precious) == {"thesis.tex": b""}


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (b"no image", "image 1 does not decode"),
        (cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes(), "image 1 is 9x9"),
    ],
)
def test_a_bad_image_leaves_nothing_behind(tmp_path, image, sentence):
    write_bin(tmp_path / "a.bin", [draw_face(seed=0, identity=0, image=0, level=USUAL), image], [True])
    with pytest.raises(UserError, match=sentence):
        main([str(tmp_path / "a.bin"), "--out", str(tmp_path / "out")])
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_one_sentence_and_exit_2(tmp_path):
    command = [sys.executable, str(TOOL), "lfw.bin", "--out", "out"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "error: there is no verification set at lfw.bin\n")
