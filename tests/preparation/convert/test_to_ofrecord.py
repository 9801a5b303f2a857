import csv
import ftplib
from itertools import pairwise

import cv2
import numpy as np
import pytest

from data.ofrecord import index_path
from data.storage import find_path
from preparation.convert.to_ofrecord import Settings, convert, part_bounds
from tests.data.mxnet_sets import MAGIC_BYTES, encode, picture, with_comment, write_set
from tests.data.native_reader import read_natively
from tests.preparation.convert.faces import IMAGES, LABELS, contents
from tests.preparation.inline import InlineExecutor
from tests.preparation.sources.people import records
from utils.errors import UserError


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("vector", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_image_arrives_once(tmp_path, header, vector, shuffle):
    images = [with_comment(image, MAGIC_BYTES * (i % 3)) for i, image in enumerate(IMAGES)]
    labels = [[label, 99.0] if vector else label for label in LABELS]
    source = write_set(tmp_path / "faces", images, labels, header=header)
    (source / "lfw.bin").write_bytes(b"a verification set")
    output = tmp_path / "ofrecord"
    manifest = convert(Settings(source, output, num_part=4, shuffle=shuffle))
    expected = list(zip(map(int, LABELS), images, strict=True))
    converted = records(output)
    assert (converted == expected) != shuffle
    assert sorted(converted) == sorted(expected)
    assert [part.records for part in manifest.parts] == [6, 6, 6, 5]
    assert (manifest.num_records, manifest.num_classes) == (23, 10)
    assert (manifest.shuffle, manifest.seed) == (shuffle, 2048 if shuffle else None)
    assert (manifest.repaired, manifest.skipped) == (0, 0)
    names = [f"part-{number:05d}{kind}" for number in range(4) for kind in ("", ".index.npy")]
    assert sorted(contents(output)) == sorted(["_SUCCESS", "dataset.json", "lfw.bin", "property", *names])
    assert (output / "lfw.bin").read_bytes() == b"a verification set"


@pytest.mark.parametrize(("records", "parts"), [(1, 1), (5, 5), (23, 4), (100, 96), (5_822_653, 96)])
def test_parts_differ_by_at_most_one_record(records, parts):
    bounds = part_bounds(records, parts)
    sizes = [stop - start for start, stop in bounds]
    assert bounds[0][0] == 0 and bounds[-1][1] == records
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    assert sizes == [records // parts + (number < records % parts) for number in range(parts)]


def test_a_small_set_has_a_part_for_each_image_if_nothing_else_is_asked_for(mixed, tmp_path):
    manifest = convert(Settings(mixed, tmp_path / "out"))
    assert [part.records for part in manifest.parts] == [1] * 7


def test_bytes_depend_on_the_seed_but_not_on_the_workers(source, tmp_path):
    for name, changes in {"a": {}, "b": {"workers": 2}, "c": {"workers": 3}, "d": {"seed": 1}}.items():
        convert(Settings(source, tmp_path / name, num_part=5, **changes))
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")
    assert contents(tmp_path / "a")["part-00000"] != contents(tmp_path / "d")["part-00000"]


MIXED = {
    "good": (IMAGES[0], 0.0, None),
    "gray": (encode(picture(30)[..., 0]), 1.0, "repaired"),
    "PNG": (encode(picture(31), ".png"), 2.0, "repaired"),
    "BMP": (encode(picture(32), ".bmp"), 3.0, "repaired"),
    "WebP": (encode(picture(33), ".webp"), 4.0, "repaired"),
    "split PNG": (encode(picture(34), ".png") + b"\0" * 16 + MAGIC_BYTES * 4, 4.0, "repaired"),
    "wrong size": (encode(picture(35, (112, 96))), 5.0, "the image is not 112x112 pixels"),
    "garbage": (b"\xff\xd8garbage" * 50, 6.0, "the image is broken (no decoder reads it to its end)"),
    "cut": (IMAGES[1][:-700], 7.0, "the image is broken (no decoder reads it to its end)"),
    "empty": (b"", 8.0, "the image is empty"),
    "label too high": (IMAGES[2], 10.0, "the label is not an integer in [0, 9]"),
    "label negative": (IMAGES[3], -1.0, "the label is not an integer in [0, 9]"),
    "label fraction": (IMAGES[4], 1.5, "the label is not an integer in [0, 9]"),
    "label NaN": (IMAGES[5], float("nan"), "the label is not an integer in [0, 9]"),
    "label infinite": (IMAGES[6], float("inf"), "the label is not an integer in [0, 9]"),
    "good too": (IMAGES[7], 9.0, None),
}


@pytest.fixture
def mixed(tmp_path):
    return write_set(tmp_path / "mixed", [image for image, _, _ in MIXED.values()], [row[1] for row in MIXED.values()])


def test_repairs_what_means_the_same_and_lists_what_it_skips(mixed, tmp_path):
    manifest = convert(Settings(mixed, tmp_path / "out", num_part=3, shuffle=False))
    kept = [row for row in MIXED.values() if row[2] in (None, "repaired")]
    converted = records(tmp_path / "out")
    assert [label for label, _ in converted] == [int(label) for _, label, _ in kept]
    for (_, image), (original, _, note) in zip(converted, kept, strict=True):
        pixels, expected = (cv2.imdecode(np.frombuffer(data, np.uint8), 1).astype(int) for data in (image, original))
        assert (image == original) == (note is None)
        assert np.abs(pixels - expected).mean() < 1.5
    assert (manifest.num_records, manifest.repaired, manifest.skipped) == (7, 5, 9)
    assert [part.records for part in manifest.parts] == [3, 2, 2]
    with open(tmp_path / "out" / "skipped.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(str(key), row[2]) for key, row in enumerate(MIXED.values(), 1) if row not in kept]
    assert [(row["key"], row["reason"]) for row in rows] == expected
    assert [row["label"] for row in rows] == ["5", "6", "7", "8", "10", "-1", "1.5", "nan", "inf"]


def test_strict_refuses_before_anything_is_written_and_can_be_dropped(mixed, tmp_path):
    with pytest.raises(UserError, match=r"5 image\(s\) to repair and 9 to skip \(record 2: .* grayscale JPEG\)"):
        convert(Settings(mixed, tmp_path / "out", num_part=3, strict=True))
    assert not list((tmp_path / "out").glob("part-*"))
    convert(Settings(mixed, tmp_path / "out", num_part=3))
    convert(Settings(mixed, tmp_path / "straight", num_part=3))
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_strict_passes_a_sound_set(source, tmp_path):
    assert convert(Settings(source, tmp_path / "out", num_part=2, strict=True)).num_records == 23


def test_verify_finds_what_headers_do_not_tell(tmp_path):
    images = [*IMAGES[:3], IMAGES[3][:-900] + b"\xff\xd9"]
    source = write_set(tmp_path / "faces", images, LABELS[:4])
    assert convert(Settings(source, tmp_path / "quick", num_part=1)).skipped == 0
    assert convert(Settings(source, tmp_path / "full", num_part=1, verify=True)).skipped == 1


def test_a_finished_set_is_not_touched_without_force(source, tmp_path):
    output = tmp_path / "out"
    convert(Settings(source, output, num_part=6))
    before = contents(output)
    with pytest.raises(UserError, match="already holds a finished set; --force replaces it"):
        convert(Settings(source, output, num_part=2))
    assert contents(output) == before
    convert(Settings(source, output, num_part=2, force=True))
    convert(Settings(source, tmp_path / "straight", num_part=2))
    assert contents(output) == contents(tmp_path / "straight")


def test_parts_of_another_tool_are_not_touched_without_force(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-00000").write_bytes(b"someone's work")
    with pytest.raises(UserError, match="already holds parts of another tool"):
        convert(Settings(source, tmp_path / "out", num_part=2))
    assert contents(tmp_path / "out") == {"part-00000": b"someone's work"}


def test_the_output_may_be_the_source(source):
    (source / "lfw.bin").write_bytes(b"a verification set")
    convert(Settings(source, source, num_part=2))
    assert len(records(source)) == 23
    assert (source / "lfw.bin").read_bytes() == b"a verification set"


class Interrupted(Exception):
    pass


def interrupt(settings, monkeypatch):
    """Run a conversion that ends when its parts are written, before it is called finished."""
    with monkeypatch.context() as patch:
        patch.setattr(
            "preparation.convert.to_ofrecord._Conversion._finish", lambda *_: (_ for _ in ()).throw(Interrupted)
        )
        with pytest.raises(Interrupted):
            convert(settings)


def test_only_parts_of_the_same_job_are_kept(source, tmp_path, monkeypatch):
    output = tmp_path / "out"
    settings = Settings(source, output, num_part=4)
    convert(Settings(source, tmp_path / "straight", num_part=4))
    convert(Settings(source, tmp_path / "other seed", num_part=4, seed=5))

    interrupt(settings, monkeypatch)
    written = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    (output / "part-00001").write_bytes(b"damaged")
    index_path(output / "part-00002").unlink()
    convert(settings)
    kept = [name for name, time in written.items() if (output / name).stat().st_mtime_ns == time]
    assert {"part-00000", "part-00003"} <= set(kept) and not {"part-00001", "part-00002"} & set(kept)
    assert contents(output) == contents(tmp_path / "straight")

    interrupt(Settings(source, output, num_part=7, force=True), monkeypatch)
    convert(Settings(source, output, num_part=4, seed=5))
    assert contents(output) == contents(tmp_path / "other seed")


def test_a_late_task_of_an_ended_job_changes_nothing(source, tmp_path):
    """On a cluster tasks may outlive the tool that has sent them, and the next one writes another set."""
    output, late = tmp_path / "out", []

    def one_part(task):
        if list(output.glob("part-?????")):
            late.append(task)
            raise UserError("The tool is killed.")
        return task()

    with pytest.raises(UserError, match="is killed"):
        convert(Settings(source, output, num_part=4), InlineExecutor.pool(one_part))
    written = {path: path.read_bytes() for path in [*output.glob("part-*"), *output.glob("_converting/part-*")]}
    assert len(written) == 3
    convert(Settings(source, tmp_path / "straight", num_part=4, seed=5))

    def meanwhile(task):
        if not list(output.glob("part-?????")):  # what was written just now by the old job
            for path, content in written.items():
                path.write_bytes(content)
        with pytest.raises((UserError, FileNotFoundError)):
            late[0]()
        return task()

    convert(Settings(source, output, num_part=4, seed=5), InlineExecutor.pool(meanwhile))
    assert contents(output) == contents(tmp_path / "straight")


def test_a_part_that_has_gone_is_told_before_the_set_is_called_finished(source, tmp_path):
    output = tmp_path / "out"

    def lose(task):
        part = task()
        (output / "part-00001").unlink(missing_ok=True)
        return part

    with pytest.raises(UserError, match="part-00001 is not what was written; run the command again"):
        convert(Settings(source, output, num_part=3), InlineExecutor.pool(lose))
    assert not (output / "_SUCCESS").exists()
    convert(Settings(source, output, num_part=3))
    convert(Settings(source, tmp_path / "straight", num_part=3))
    assert contents(output) == contents(tmp_path / "straight")


def test_a_store_that_fails_is_a_sentence(source, monkeypatch):
    """Their packages raise what they like; on this machine it would be a fault of ours, and is shown as one."""
    pytest.importorskip("upath", reason="./setup.sh spark installs universal-pathlib")

    def refuse(_):
        raise ftplib.error_perm("550 Not enough privileges.")

    monkeypatch.setattr("preparation.convert.to_ofrecord.free_space", refuse)
    inline = InlineExecutor.pool(lambda task: task())
    with pytest.raises(UserError, match=r"^The store failed: 550 Not enough privileges\.$"):
        convert(Settings(source, find_path("memory://refused"), num_part=1), inline)
    with pytest.raises(ftplib.error_perm):
        convert(Settings(source, source / "out", num_part=1), inline)


def test_a_source_that_changed_is_read_again(source, tmp_path, monkeypatch):
    interrupt(Settings(source, tmp_path / "out", num_part=4), monkeypatch)
    write_set(source, IMAGES[:9], LABELS[:9])
    convert(Settings(source, tmp_path / "out", num_part=4))
    assert len(records(tmp_path / "out")) == 9


def test_oneflows_own_reader_reads_each_record_once(mixed, tmp_path):
    convert(Settings(mixed, tmp_path / "out", num_part=3))
    converted = records(tmp_path / "out")
    expected = [(label, int(cv2.imdecode(np.frombuffer(image, np.uint8), 1).sum())) for label, image in converted]
    assert sorted(read_natively(tmp_path / "out", parts=3, records=7)) == sorted(expected)
