"""IJB's meta files: what is read from them, and each mistake named by file and line."""

import re

import numpy as np
import pytest

from evaluation import ijb_lines
from evaluation.ijb_lines import integer_blocks, rows
from evaluation.ijb_meta import ijb_images, load_ijb
from tests.evaluation.ijb_files import HEADER, LANDMARKS, write_small_ijb
from utils.errors import UserError


@pytest.mark.parametrize("target", ["IJBB", "IJBC"])
def test_all_is_read(tmp_path, target):
    write_small_ijb(tmp_path, target)
    ijb = load_ijb(tmp_path, target)
    assert ijb.names == [f"{number}.jpg" for number in range(1, 7)]
    assert ijb.template_ids.tolist() == [3, 5, 7, 9] and ijb.templates.tolist() == [0, 1, 2, 2, 2, 3]
    assert ijb.medias.tolist() == [10, 11, 12, 13, 13, 12]
    np.testing.assert_array_equal(ijb.detector_scores, np.float32([0.9, 0.8, 0.999, 0.5, 0.25, 0.7]))
    assert ijb.first.tolist() == [0, 1, 0, 1] and ijb.second.tolist() == [2, 3, 3, 2]
    assert ijb.same.tolist() == [True, True, False, False]
    assert list(ijb.galleries) == (["S1", "S2"] if target == "IJBB" else ["G1", "G2"])
    assert [gallery.templates.tolist() for gallery in ijb.galleries.values()] == [[0], [1]]
    assert ijb.probes.templates.tolist() == [2, 3] and ijb.probes.subjects.tolist() == [1, 2]
    images = ijb_images(tmp_path, target)
    assert images.landmarks.shape == (6, 5, 2) and images.landmarks[2, :2].tolist() == [[40.5, 50.25], [70, 50]]
    large = ijb_images(tmp_path, target, (160, 128))
    assert large.decode(0, 6).shape == (6, 160, 128, 3) and large.digest() != images.digest()
    assert len(images) == 6 and images.decode(0, 6).shape == (6, 112, 112, 3) and images.name(5) == "6.jpg"


def test_without_identification_its_files_are_not_needed(tmp_path):
    for file in write_small_ijb(tmp_path).glob("*_1N_*"):
        file.unlink()
    ijb = load_ijb(tmp_path, "IJBC", identification=False)
    assert ijb.galleries == {} and ijb.probes is None
    with pytest.raises(UserError, match=r"ijbc_1N_gallery_G1\.csv is missing"):
        load_ijb(tmp_path, "IJBC")


def test_no_release_at_the_place(tmp_path):
    with pytest.raises(UserError, match="--data is the folder that IJBC is in"):
        load_ijb(tmp_path, "IJBC")


FACES, PAIRS, POINTS = "ijbc_face_tid_mid.txt", "ijbc_template_pair_label.txt", "ijbc_name_5pts_score.txt"
GALLERY, PROBES = "ijbc_1N_gallery_G1.csv", "ijbc_1N_probe_mixed.csv"


@pytest.mark.parametrize(
    ("file", "line", "text", "sentence"),
    [
        (FACES, 2, "2.jpg 5", "has 2 columns, not 3: '2.jpg 5'"),
        (FACES, 2, "2.jpg 5 six", "template '5' and media 'six' must be whole numbers"),
        (FACES, 2, f"2.jpg 5 {10**30}", "must be whole numbers"),
        (POINTS, 3, f"3.jpg {LANDMARKS}", "has 11 columns, not 12"),
        (POINTS, 3, "", "has 0 columns, not 12"),
        (POINTS, 3, f"3.jpg {LANDMARKS} good", "not all landmarks and the score are numbers"),
        (POINTS, 3, f"3.jpg {LANDMARKS} nan", "not all landmarks and the score are finite numbers"),
        (POINTS, 3, f"4.jpg {LANDMARKS} 0.5", "is about 4.jpg, and face_tid_mid has 3.jpg in that line"),
        (PAIRS, 4, "5 7 2", "the label is 2, neither 0 (different people) nor 1 (the same)"),
        (PAIRS, 4, "5 7 -1", "the label is -1"),
        (PAIRS, 4, "5 7", "has 2 columns, not 3"),
        (PAIRS, 4, "5 7 0.5", "is '5 7 0.5', not 3 whole numbers"),
        (PAIRS, 4, "5 8 0", "template 8 has no images in face_tid_mid"),
        (PAIRS, 4, "99 7 0", "template 99 has no images in face_tid_mid"),
        (PAIRS, 4, f"{10**30} 7 0", "not 3 whole numbers"),
        (GALLERY, 2, "4,1,img/1.jpg", "template 4 has no images in face_tid_mid"),
        (GALLERY, 2, "3", "is '3', and should begin with the numbers of a template and of a subject"),
        (PROBES, 3, "7,2,img/1.jpg", "template 7 shows subject 2, and in line 2 it shows subject 1"),
    ],
)
def test_a_mistake_is_named_by_its_line(tmp_path, file, line, text, sentence):
    path = write_small_ijb(tmp_path) / file
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=re.escape(f"{path}, line {line}") + ".*" + re.escape(sentence)):
        load_ijb(tmp_path, "IJBC")


@pytest.mark.parametrize("file", [FACES, POINTS, PAIRS])
def test_an_empty_file_is_named(tmp_path, file):
    path = write_small_ijb(tmp_path) / file
    path.write_text("\n\n")
    with pytest.raises(UserError, match=f"{file} is empty"):
        load_ijb(tmp_path, "IJBC")


def test_lists_of_other_lengths(tmp_path):
    path = write_small_ijb(tmp_path) / POINTS
    lines = path.read_text().splitlines(keepends=True)
    for text, count in (lines[:4], 4), ([*lines, f"7.jpg {LANDMARKS} 0.5\n"], 7):
        path.write_text("".join(text))
        with pytest.raises(UserError, match=f"has {count} images, and face_tid_mid has 6"):
            load_ijb(tmp_path, "IJBC")


def test_a_crop_that_is_missing_or_damaged_is_named_by_its_line(tmp_path):
    path = write_small_ijb(tmp_path) / POINTS
    crop = tmp_path / "IJBC/loose_crop/4.jpg"
    crop.write_bytes(b"\xff\xd8 no image")
    with pytest.raises(UserError, match=re.escape(f"{path}, line 4: {crop} is no image that decodes")):
        ijb_images(tmp_path, "IJBC").decode(0, 6)
    crop.unlink()
    with pytest.raises(UserError, match=re.escape(f"{path}, line 4: {crop} cannot be read: No such file")):
        ijb_images(tmp_path, "IJBC").digest()


def test_a_gallery_of_a_header_alone(tmp_path):
    (write_small_ijb(tmp_path) / GALLERY).write_text(HEADER)
    with pytest.raises(UserError, match="holds no template"):
        load_ijb(tmp_path, "IJBC")


@pytest.mark.parametrize("block", [7, 64, 1 << 24])
def test_numbers_in_blocks_of_any_size(tmp_path, monkeypatch, block):
    monkeypatch.setattr(ijb_lines, "_BLOCK", block)
    values = np.random.default_rng(0).integers(0, 10 ** np.arange(1, 13).repeat(30)[:, None], (360, 3))
    path = tmp_path / "numbers"
    plain = "".join("{} {} {}\n".format(*row) for row in values)
    variants = [plain, plain.rstrip("\n"), plain.replace("\n", "\r\n"), plain + "\n \n", plain.replace(" ", "\t ", 40)]
    for text in variants:
        path.write_bytes(text.encode())
        numbers, blocks = zip(*integer_blocks(path, 3), strict=True)
        np.testing.assert_array_equal(np.concatenate(blocks), values)
        assert list(numbers) == np.cumsum([1, *map(len, blocks)])[:-1].tolist()
        assert [int(fields[2]) for _, fields in rows(path, 3)] == values[:, 2].tolist()


@pytest.mark.parametrize("block", [7, 1 << 24])
def test_a_bad_line_has_its_number_in_blocks_of_any_size(tmp_path, monkeypatch, block):
    monkeypatch.setattr(ijb_lines, "_BLOCK", block)
    path = tmp_path / "numbers"
    # two columns and then four: as many numbers as there should be
    path.write_text("1 2 3\n" * 50 + "1 2\n1 2 3 4\n" + "1 2 3\n" * 50)
    with pytest.raises(UserError, match="line 51 has 2 columns, not 3"):
        list(integer_blocks(path, 3))
    path.write_text("1 2 3\n" * 50 + "\n" + "1 2 3\n")
    with pytest.raises(UserError, match="line 51 has 0 columns, not 3"):
        list(rows(path, 3))
