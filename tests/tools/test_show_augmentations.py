"""tools/show_augmentations.py as a user calls it."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.augment import OPERATIONS, augmentation_sheet
from preparation.convert.to_ofrecord import Settings, convert
from tests.data.mxnet_sets import jpegs, write_set
from tools.show_augmentations import main
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def images():
    return jpegs(10)


@pytest.fixture(scope="module")
def dataset(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("show")
    write_set(folder / "rec", images, range(10), num_classes=10)
    convert(Settings(folder / "rec", folder / "of", num_part=1, workers=1, shuffle=False))
    return folder / "of"


def read(file):
    return cv2.imread(str(file))[:, :, ::-1]


def test_drawn_faces_and_all_operations(tmp_path):
    command = [sys.executable, "tools/show_augmentations.py", "--out", tmp_path / "new" / "sheet.png", "--columns", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "crop 0.2, crop_pad 0.2, " in done.stdout and "augment is empty" in done.stdout
    assert read(tmp_path / "new" / "sheet.png").shape == ((1 + len(OPERATIONS) + 3) * 116, 124 + 2 * 116, 3)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.png"]


@pytest.mark.parametrize("by_option", [True, False])
def test_the_samples_of_a_run(dataset, images, tmp_path, by_option, capsys):
    out = tmp_path / "sheet.png"
    which = ["--images", str(dataset)] if by_option else [f"ofrecord_path={dataset}"]
    main(["demo", "augment=gray:0.5,jpeg:1", "seed=7", *which, "--out", str(out), "--columns", "4", "--epochs", "1"])
    assert "gray 0.5, jpeg 1\n" in capsys.readouterr().out
    records = np.array([0, 3, 6, 9])
    pixels = np.stack([cv2.imdecode(np.frombuffer(images[i], np.uint8), cv2.IMREAD_COLOR_RGB) for i in records])
    np.testing.assert_array_equal(read(out), augmentation_sheet(pixels, records, {"gray": 0.5, "jpeg": 1.0}, 7, 1))


def test_no_more_columns_than_images(dataset, tmp_path):
    main(["augment=blur:1", "--images", str(dataset), "--out", str(tmp_path / "sheet.png"), "--columns", "50"])
    assert read(tmp_path / "sheet.png").shape[1] == 124 + 10 * 116


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["augment=blurr:0.5"], "did you mean blur"),
        (["no_such"], "There is no config file"),
        (["demo", "base"], "one CONFIG"),
        (["--columns", "0"], "--columns must be at least 1"),
        (["--images", "/nowhere"], "neither a folder nor a file"),
        (["--out", "sheet.jpg"], "the sheet is a PNG file"),
        (["--out", "/proc/no/sheet.png", "--columns", "1"], "cannot be written"),
    ],
)
def test_refused(arguments, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        main(["--out", str(tmp_path / "sheet.png"), *arguments])
    assert not list(tmp_path.iterdir())
