"""Every kind of source gives the same pixels, and what is wrong in one is named."""

import cv2
import numpy as np
import pytest

from evaluation.align import REFERENCE, align
from evaluation.bin_set import write_bin
from evaluation.sources import FileImages, FolderImages, LandmarkedImages, ListedImages, RecordImages, open_source
from preparation.convert.to_ofrecord import Settings, convert
from tests.data.mxnet_sets import encode, jpegs, picture, write_set
from tests.data.ofrecord_sets import make_set
from utils.errors import UserError

NAMES = ["b.jpg", "a/é.jpeg", "a/人 1.PNG", "a/deep/er/x.bmp"]


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(NAMES):
        file = tmp_path / "faces" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode(picture(seed), file.suffix.lower()))
    return tmp_path / "faces"


def read(file):
    return cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def same(source, folder, names):
    assert len(source) == len(names)
    pixels = source.decode(0, len(names))
    assert pixels.dtype == np.uint8 and pixels.shape == (len(names), 112, 112, 3)
    for row, name in zip(pixels, names, strict=True):
        np.testing.assert_array_equal(row, read(folder / name))
    np.testing.assert_array_equal(source.decode(1, 3), pixels[1:3])
    np.testing.assert_array_equal(source.decode(len(names) - 1, len(names) + 5), pixels[-1:])


def test_a_folder_in_the_order_of_paths_without_hidden_files(folder, tmp_path):
    (folder / "._b.jpg").write_bytes(b"of another system")
    (folder / ".thumbs").mkdir()
    (folder / ".thumbs" / "x.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image")
    source = open_source(folder)
    assert isinstance(source, FolderImages) and [source.name(i) for i in range(4)] == sorted(NAMES)
    same(source, folder, sorted(NAMES))
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "person").symlink_to(folder)
    assert len(open_source(tmp_path / "linked")) == 4


def test_a_list_with_columns_roots_tabs_and_empty_lines(folder, tmp_path):
    lines = [
        "\ufeffb.jpg 0 17",
        "",
        "  a/é.jpeg",
        "a/人 1.PNG\t3",
        f"{folder}/a/deep/er/x.bmp   5",
        '"a/人 1.PNG"',
        '"b.jpg"\t1',
    ]
    (folder / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = open_source(folder / "list.txt")
    names = [*NAMES, "a/人 1.PNG", "b.jpg"]
    same(source, folder, names)
    assert isinstance(source, ListedImages) and source.columns == [["0", "17"], [], ["3"], ["5"], [], ["1"]]
    (tmp_path / "list.txt").write_text((folder / "list.txt").read_text())
    same(open_source(tmp_path / "list.txt", root=folder), folder, names)


def test_a_converted_dataset_in_the_order_of_its_parts(tmp_path):
    images = jpegs(10)
    write_set(tmp_path / "set", images, range(10))
    convert(Settings(tmp_path / "set", tmp_path / "records", num_part=3, workers=1, shuffle=False))
    source = open_source(tmp_path / "records")
    assert isinstance(source, RecordImages) and len(source) == 10 and source.name(0) == "record 0 of part-00000"
    decoded = {pixels.tobytes() for pixels in source.decode(0, 10)}
    assert decoded == {cv2.imdecode(np.frombuffer(i, np.uint8), 1)[:, :, ::-1].tobytes() for i in images}
    np.testing.assert_array_equal(source.decode(3, 6), source.decode(0, 10)[3:6])
    part, record = source.name(9).split()[3], int(source.name(9).split()[1])
    entry = np.load(tmp_path / "records" / f"{part}.index.npy")[record]
    with (tmp_path / "records" / part).open("r+b") as file:
        file.seek(int(entry["offset"]))
        file.write(bytes(int(entry["length"])))
    with pytest.raises(UserError, match=f"record {record} of {part} in .*records is not a 112x112 image"):
        open_source(tmp_path / "records").decode(8, 10)


def test_a_bin_set(tmp_path):
    write_bin(tmp_path / "set.bin", jpegs(4), [True, False])
    source = open_source(tmp_path / "set.bin")
    assert len(source) == 4 and source.decode(1, 3).shape[0] == 2 and source.name(3) == "image 3 of set.bin"


def test_crops_are_aligned_by_their_landmarks(tmp_path):
    rng = np.random.default_rng(0)
    names = ["1.jpg", "2.jpg"]
    landmarks = np.stack([REFERENCE * 1.5 + rng.normal(0, 4, (5, 2)) + 20 for _ in names])
    for seed, name in enumerate(names):
        (tmp_path / name).write_bytes(encode(picture(seed, (230, 190))))
    source = LandmarkedImages(names, landmarks, tmp_path)
    wanted = [align(read(tmp_path / name), points) for name, points in zip(names, landmarks, strict=True)]
    np.testing.assert_array_equal(source.decode(0, 2), wanted)
    landmarks[1] = 3
    source = LandmarkedImages(names, landmarks, tmp_path, list_file=tmp_path / "meta.txt", lines=[1, 2])
    with pytest.raises(UserError, match=r"meta\.txt, line 2: .*2\.jpg: its landmarks are not those of a face"):
        source.decode(0, 2)


def test_gray_images_become_color(tmp_path):
    (tmp_path / "gray.jpg").write_bytes(encode(picture(0)[:, :, 0]))
    pixels = open_source(tmp_path).decode(0, 1)[0]
    assert (pixels == pixels[:, :, :1]).all()


JPEG = encode(picture(0))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is no image that decodes"),
        (b"\xff\xd8 no jpeg", "is no image that decodes"),
        (JPEG[: len(JPEG) // 2], "is no image that decodes"),
        (encode(picture(0, (112, 96))), "is 112x96 pixels, not 112x112"),
    ],
)
def test_a_bad_image_is_named_with_its_line(folder, content, sentence):
    (folder / "list.txt").write_text("b.jpg\n\nbad.jpg 1\n")
    if content is not None:
        (folder / "bad.jpg").write_bytes(content)
    with pytest.raises(UserError, match=rf"list\.txt, line 3: .*bad\.jpg {sentence}"):
        open_source(folder / "list.txt").decode(0, 2)


def test_a_missing_file_is_found_before_any_is_decoded(folder):
    (folder / "list.txt").write_text("b.jpg\nmissing.jpg\n")
    with pytest.raises(UserError, match=r"list\.txt, line 2: .*missing\.jpg cannot be read"):
        open_source(folder / "list.txt").digest()


def test_the_digest_is_that_of_the_images(folder, tmp_path):
    before = open_source(folder).digest()
    assert open_source(folder).digest() == before
    (folder / "b.jpg").write_bytes(encode(picture(9)))
    after = open_source(folder).digest()
    files, landmarks = ["b.jpg"], REFERENCE[None]
    crops = [LandmarkedImages(files, points, folder).digest() for points in (landmarks, landmarks + 1)]
    digests = {before, after, *crops, FileImages(files, folder).digest()}
    for flag in (True, False):
        write_bin(tmp_path / "set.bin", jpegs(2) if flag else jpegs(2)[::-1], [True])
        digests.add(open_source(tmp_path / "set.bin").digest())
    assert len(digests) == 7


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "lists no images"), (b"\n\n", "lists no images"), (b"\xff\xfe\x00", "not a text file in UTF-8")],
)
def test_a_file_that_is_no_list_is_refused(tmp_path, content, sentence):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        open_source(tmp_path / "list.txt")


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(UserError, match="neither a folder nor a file"):
        open_source(tmp_path / "none")
    with pytest.raises(UserError, match="holds no images"):
        open_source(tmp_path)


@pytest.mark.parametrize("size", [(96, 112), (128, 128)])
def test_images_of_another_size(tmp_path, size):
    (tmp_path / "faces").mkdir()
    for number, image in enumerate(jpegs(3, size)):
        (tmp_path / "faces" / f"{number}.jpg").write_bytes(image)
    (tmp_path / "list.txt").write_text("faces/0.jpg\nfaces/2.jpg\n")
    for path, count in ((tmp_path / "faces", 3), (tmp_path / "list.txt", 2)):
        source = open_source(path, image_size=size)
        assert source.image_size == size and source.decode(0, 9).shape == (count, *size, 3)
        with pytest.raises(UserError, match=f"0.jpg is {size[0]}x{size[1]} pixels, not 112x112 .height x width. as"):
            open_source(path).decode(0, 1)


@pytest.mark.parametrize("kind", ["set.bin", "records"])
def test_a_set_says_its_own_size(tmp_path, kind):
    images = jpegs(4, (96, 112))
    if kind == "records":
        make_set(tmp_path / kind, images, [0, 0, 1, 1], 2, 1, size=(96, 112))
    else:
        write_bin(tmp_path / kind, images, [True, False])
    for size in (None, (96, 112)):
        source = open_source(tmp_path / kind, image_size=size)
        assert source.image_size == (96, 112) and source.decode(0, 4).shape == (4, 96, 112, 3)
    with pytest.raises(UserError, match=f"{kind} holds 96x112 images, not 112x112; leave out --image_size"):
        open_source(tmp_path / kind, image_size=(112, 112))


def test_landmarks_are_aligned_to_the_size_and_the_digest_says_which(tmp_path):
    (tmp_path / "0.jpg").write_bytes(jpegs(1, (200, 200))[0])
    points = (REFERENCE * 1.2 + 20)[None]
    digests = set()
    for size in ((112, 112), (160, 128), (128, 160)):
        source = LandmarkedImages(["0.jpg"], points, tmp_path, image_size=size)
        np.testing.assert_array_equal(source.decode(0, 1)[0], align(read(tmp_path / "0.jpg"), points[0], size))
        digests.add(source.digest())
    assert len(digests) == 3
    assert LandmarkedImages(["0.jpg"], points, tmp_path).digest() in digests
