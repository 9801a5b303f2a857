"""Every source gives the same set, the same images with the same labels, from the same faces."""

import pytest

from preparation.convert.to_ofrecord import Settings, convert
from preparation.sources.formats import find_format
from tests.preparation.sources.people import (
    COUNTS,
    SORTED,
    as_folder,
    as_list,
    as_recordio,
    as_shards,
    digest,
    faces,
    records,
)

MAGFACE, TAB = "{name} 0 {label} 0\n", "{name}\t{label}\n"
SOURCES = {
    "recordio": (as_recordio, "recordio"),
    "folder": (as_folder, "folder"),
    "PLSC's folder": (as_list, "list"),
    "MagFace's list": (lambda folder: as_list(folder, MAGFACE) / "label.txt", "list"),
    "a list of names": (lambda folder: as_list(folder, "{name}\t{person}\n"), "list"),
    "shards": (as_shards, "webdataset"),
    "shards of names": (lambda folder: as_shards(folder, "txt", "{person}\n"), "webdataset"),
    "shards with JSON": (lambda folder: as_shards(folder, "json", '{"url": "", "label": {label}}'), "webdataset"),
    "shards with names in JSON": (lambda folder: as_shards(folder, "json", '{"label": "{person}"}'), "webdataset"),
    "a pattern of shards": (lambda folder: as_shards(folder) / "faces-{0000..0002}.tar", "webdataset"),
    "a list from Windows": (lambda folder: as_list(folder, "{name}\t{label}\r\n\n"), "list"),
}
NAMED = ("folder", "a list of names", "shards of names", "shards with names in JSON")


def parts(folder):
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_source_gives_the_same_set(tmp_path, name, shuffle):
    make, format = SOURCES[name]
    source, output = make(tmp_path / "in"), tmp_path / "out"
    assert find_format(source) == format
    manifest = convert(Settings(source, output, num_part=3, format=format, shuffle=shuffle, workers=2))
    expected = [(label, image) for image, label in zip(*faces(), strict=True)]
    assert digest(records(output)) == digest(expected)
    assert (records(output) == expected) != shuffle
    assert (manifest.num_records, manifest.num_classes, manifest.skipped) == (sum(COUNTS), len(COUNTS), 0)
    convert(Settings(as_recordio(tmp_path / "recordio"), tmp_path / "straight", num_part=3, shuffle=shuffle))
    assert parts(output) == parts(tmp_path / "straight")  # whatever the source, the very same bytes
    named = "".join(name + "\n" for name in SORTED) if name in NAMED else None
    names = (output / "classes.txt").read_text() if (output / "classes.txt").exists() else None
    assert names == named


def test_an_ofrecord_set_is_a_source(tmp_path):
    source = tmp_path / "first"
    convert(Settings(as_folder(tmp_path / "in"), source, num_part=4, format="folder"))
    (source / "lfw.bin").write_bytes(b"a verification set")
    assert find_format(source) == "ofrecord"
    convert(Settings(source, tmp_path / "kept", num_part=2, format="ofrecord", shuffle=False, workers=2))
    assert records(tmp_path / "kept") == records(source)
    for name in ("classes.txt", "lfw.bin"):
        assert (tmp_path / "kept" / name).read_bytes() == (source / name).read_bytes()
    convert(Settings(source, tmp_path / "mixed", num_part=2, format="ofrecord", seed=7))
    assert digest(records(tmp_path / "mixed")) == digest(records(source))


def test_lists_may_have_a_root_of_their_own(tmp_path):
    folder = as_list(tmp_path / "in")
    listed = (folder / "label.txt").rename(tmp_path / "list.txt")
    convert(Settings(listed, tmp_path / "out", num_part=1, format="list", root=folder))
    expected = [(label, image) for image, label in zip(*faces(), strict=True)]
    assert digest(records(tmp_path / "out")) == digest(expected)
