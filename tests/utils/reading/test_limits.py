"""`--limit` sets how large files may be: in this process, its workers and its ranks."""

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.sources import read_image
from preparation.sources.archive_members import read_extent, read_members
from preparation.workers import worker_pool
from tests.data.mxnet_sets import encode, picture
from tests.ranks import ROOT, rank_environment
from utils.errors import UserError
from utils.reading.images import decode, may_be_decoded
from utils.reading.json_file import read_object
from utils.reading.limits import Limits, limit_options, limits, take_limits, use_limits
from utils.reading.lines import byte_lines


@pytest.fixture
def use():
    yield lambda **changed: use_limits(Limits(**changed))
    use_limits(Limits())


def test_options_are_taken_out_wherever_they_stand():
    words = ["demo", "--limit", "image_pixels=5_000", "lr=0.1", "--limit=json_bytes=7", "--graph"]
    others, chosen = take_limits(words)
    assert others == ["demo", "lr=0.1", "--graph"]
    assert chosen == Limits(image_pixels=5000, json_bytes=7)
    assert take_limits(limit_options(chosen)) == ([], chosen)
    assert take_limits(others) == (others, Limits()) and limit_options(Limits()) == []


@pytest.mark.parametrize(("words", "said"), [
    (["--limit", "image_pixel=5"], "--limit image_pixel=5 is not known: did you mean image_pixels?"),
    (["--limit"], "--limit  is not known: it is one of image_pixels, "),
    (["--limit", "json_bytes"], "--limit json_bytes is not possible: write a whole number from 1 to 2147483647."),
    *[([f"--limit=json_bytes={bad}"], f"--limit json_bytes={bad} is not possible: write a whole number from 1 to")
      for bad in ("0", "-1", "1e9", "2147483648", "x", "9" * 5000, "²")],
])  # fmt: skip
def test_what_cannot_be_set_is_said(words, said):
    with pytest.raises(UserError) as error:
        take_limits(words)
    assert str(error.value).startswith(said)


def test_images(use, tmp_path):
    image = encode(picture(0))  # 112 x 112
    (tmp_path / "a.jpg").write_bytes(image)
    for changed in ({"image_pixels": 12_543}, {"image_bytes": len(image) - 1}):
        use(**changed)
        with pytest.raises(UserError, match=r"no image that decodes|too large for an image \(--limit image_bytes="):
            read_image(tmp_path / "a.jpg")
    use(image_pixels=12_544, image_bytes=len(image))
    assert read_image(tmp_path / "a.jpg").shape == (112, 112, 3)
    assert decode(image, cv2.IMREAD_COLOR, max_pixels=12_543) is None  # the caller's own bound holds too
    large = encode(np.zeros((3000, 3000), np.uint8), ".png")
    use()
    assert may_be_decoded(large)
    use(pixels_per_byte=10)
    assert not may_be_decoded(large)


def test_json_and_lines(use, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "list").write_text("12345678\n")
    use(json_bytes=8, line_bytes=9)
    assert read_object(tmp_path / "a.json", "is none") == {"a": 1} and list(byte_lines(tmp_path / "list"))
    use(json_bytes=7, line_bytes=8)
    with pytest.raises(UserError, match=r"is none: it is larger than 7 bytes \(--limit json_bytes\)"):
        read_object(tmp_path / "a.json", "is none")
    with pytest.raises(UserError, match=r"line 1 has more than 8 bytes \(--limit line_bytes\)"):
        list(byte_lines(tmp_path / "list"))


def test_archives(use, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("person/a.jpg")
        member.size, member.pax_headers = 1000, {"comment": "x" * 5000}
        archive.addfile(member, io.BytesIO(bytes(1000)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("person/a.jpg", bytes(1000))
    assert len(list(read_members(tmp_path / "a.tar"))) == len(list(read_members(tmp_path / "a.zip"))) == 1
    use(header_bytes=4096)
    with pytest.raises(UserError, match=r"a header of it has \d+ bytes \(--limit header_bytes\)"):
        list(read_members(tmp_path / "a.tar"))
    use(header_bytes=22, index_bytes=20)
    with pytest.raises(UserError, match=r"is no .tar or .zip, or it is damaged"):
        list(read_members(tmp_path / "a.zip"))
    use()
    for name in ("a.tar", "a.zip"):
        (member,) = read_members(tmp_path / name)
        with (tmp_path / name).open("rb") as file:
            use(image_bytes=999)
            assert read_extent(file.fileno(), member.extent) is None
            use(image_bytes=1000)
            assert len(read_extent(file.fileno(), member.extent)) == 1000
        use()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_take_them_over(use, start):
    use(image_pixels=77)
    with worker_pool(1, start) as pool:
        assert pool.submit(limits).result(timeout=60) == Limits(image_pixels=77)


def test_spark_tasks_take_them_over(use):
    from preparation.convert.spark import _call

    assert _call(Limits(image_pixels=77), limits, None) == Limits(image_pixels=77)


@pytest.mark.parametrize(("option", "status", "said"), [
    (["--limit", "line_bytes=3"], 2, "line 1 has more than 3 bytes (--limit line_bytes)"),
    (["--limit", "line_byte=3"], 2, "error: --limit line_byte=3 is not known: did you mean line_bytes?\n"),
])  # fmt: skip
def test_every_program_takes_them(tmp_path, option, status, said):
    (tmp_path / "a.jpg").write_bytes(encode(picture(0)))
    (tmp_path / "list.txt").write_text("a.jpg a.jpg 1\n")
    script = Path("tools/make_bin.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "list.txt", "--out", tmp_path / "set.bin", *option],
        cwd=ROOT, env=rank_environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ((done.returncode, done.stdout) == (status, "") and done.stderr.endswith(said)) or said in done.stderr
    assert not (tmp_path / "set.bin").exists()
