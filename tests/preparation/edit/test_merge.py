"""Merged sets: every image of every set once, under labels that tell the identities apart, or under one numbering."""

import csv

import numpy as np
import pytest

from data.manifest import Manifest
from preparation.edit.jobs import Output, write_merged
from preparation.edit.merge import merge
from preparation.record_sets import RecordSets
from tests.data.ofrecord_sets import contents, digests, faces, make_set, read_records
from utils.errors import UserError


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("merge")
    made = []
    for name, counts, first, parts in (("a", (4, 0, 3), 0, 2), ("b", (2, 5), 10, 3), ("c", (1, 1, 1, 1), 20, 1)):
        images, labels = faces(counts, first)
        made.append(make_set(folder / name, images, labels, len(counts), parts))
        (made[-1] / "classes.txt").write_text("".join(f"{name}{label}\n" for label in range(len(counts))))
    return made


def test_labels_come_one_set_after_another(sources, tmp_path):
    manifest = write_merged(sources, Output(tmp_path / "out"), False, 7)
    manifest.check(tmp_path / "out")
    assert (manifest.num_classes, manifest.num_records, len(manifest.parts)) == (9, 18, 3)
    expected = {
        label + offset: images
        for source, offset in zip(sources, (0, 3, 5), strict=True)
        for label, images in digests(read_records(source)).items()
    }
    assert digests(read_records(tmp_path / "out")) == expected
    with open(tmp_path / "out/classes.csv") as file:
        rows = [tuple(map(int, row.values())) for row in csv.DictReader(file)]
    assert rows[:4] == [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 3)] and rows[-1] == (2, 3, 8)
    names = (tmp_path / "out/classes.txt").read_text().splitlines()
    assert names == ["a0", "a1", "a2", "b0", "b1", "c0", "c1", "c2", "c3"]
    assert (tmp_path / "out/_SUCCESS").exists()
    assert [each["name"] for each in manifest.source["sets"]] == ["a", "b", "c"]


def test_the_seed_mixes_the_sets_and_no_seed_keeps_their_order(sources, tmp_path):
    for name, seed in (("one", 7), ("same", 7), ("other", 8), ("none", None)):
        write_merged(sources, Output(tmp_path / name, workers=1 + (name == "same")), False, seed)
    assert contents(tmp_path / "one") == contents(tmp_path / "same")
    assert read_records(tmp_path / "one") != read_records(tmp_path / "other")
    images = [image for source in sources for _, image in read_records(source)]
    assert [image for _, image in read_records(tmp_path / "none")] == images
    mixed = [images.index(image) for _, image in read_records(tmp_path / "one")]
    assert mixed == np.random.default_rng(7).permutation(18).tolist()
    assert Manifest.load(tmp_path / "one").seed == 7 and Manifest.load(tmp_path / "none").seed is None


def test_one_numbering_of_identities(sources, tmp_path):
    for source in sources:
        (source / "classes.txt").rename(source / "names")
    manifest = write_merged(sources, Output(tmp_path / "out"), True, 7)
    for source in sources:
        (source / "names").rename(source / "classes.txt")
    assert manifest.num_classes == 4
    every = [record for source in sources for record in read_records(source)]
    assert digests(read_records(tmp_path / "out")) == digests(every)
    assert not (tmp_path / "out/classes.csv").exists()


def test_faults_leave_nothing(sources, tmp_path, monkeypatch):
    output = Output(tmp_path / "out")
    with pytest.raises(UserError, match="names identity 0 differently"):
        write_merged(sources, output, True, 7)
    with pytest.raises(UserError, match="two or more different sets"):
        write_merged(sources[:1], output, False, 7)
    with pytest.raises(UserError, match="two or more different sets"):
        write_merged([sources[0], sources[0] / "."], output, False, 7)
    for number, source in enumerate(sources[:2]):
        (source / "lfw.bin").write_text(str(number))
    with pytest.raises(UserError, match=r"b/lfw.bin differs from the lfw.bin of another of the sets"):
        write_merged(sources, output, False, 7)
    (sources[1] / "lfw.bin").write_text("0")
    write_merged(sources, output, False, 7)
    assert (tmp_path / "out/lfw.bin").read_text() == "0"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    monkeypatch.setattr("preparation.edit.merge.MAX_CLASSES", 8)
    with pytest.raises(UserError, match="9 identities are more than labels can tell apart, 8"):
        merge(RecordSets(*sources), False, 7)
