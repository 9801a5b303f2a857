"""Subsets and held-out identities, against the records counted one by one."""

import csv
import hashlib
import shutil

import numpy as np
import pytest

from data.manifest import Manifest
from data.ofrecord import index_path
from preparation.edit.jobs import Output, write_split, write_subset
from preparation.edit.lists import read_records as read_list
from preparation.edit.rules import Rules, hold_out, select
from preparation.edit.write import Chosen, write_set
from preparation.record_sets import RecordSets
from tests.data.ofrecord_sets import contents, digests, faces, make_set, read_records
from utils.errors import UserError

COUNTS = (5, 1, 0, 7, 3, 2, 4)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    images, labels = faces(COUNTS)
    folder = make_set(tmp_path_factory.mktemp("select") / "faces", images, labels, len(COUNTS))
    (folder / "lfw.bin").write_bytes(b"a set")
    (folder / "classes.txt").write_bytes(b"".join(b"person %d\n" % label for label in range(len(COUNTS))))
    return folder


def subset(source, out, rules=None, drop=None, identities=None, keep_labels=False, **how):
    return write_subset(source, rules or Rules(), Output(out, **how), drop, identities, keep_labels)


def new_labels(folder):
    with open(folder / "classes.csv") as file:
        return {int(row["old"]): int(row["new"]) for row in csv.DictReader(file)}


def check_whole(folder):
    """The set is finished, and its sidecars say what its parts hold."""
    manifest = Manifest.load(folder)
    manifest.check(folder)
    assert (folder / "_SUCCESS").exists() and not list(folder.parent.glob(".*"))
    through = []
    for part in manifest.parts:
        data = (folder / part.name).read_bytes()
        for offset, length, label in np.load(index_path(folder / part.name)).tolist():
            through.append((label, data[offset : offset + length]))
    assert through == read_records(folder)
    sizes = [part.records for part in manifest.parts]
    assert max(sizes) - min(sizes) <= 1 and sum(sizes) == manifest.num_records
    return manifest


def test_everything_kept_is_the_same_images_in_the_same_order(source, tmp_path):
    manifest = subset(source, tmp_path / "out")
    check_whole(tmp_path / "out")
    assert manifest.num_classes == 6  # label 2 has no image
    renamed = new_labels(tmp_path / "out")
    assert renamed == {0: 0, 1: 1, 3: 2, 4: 3, 5: 4, 6: 5}
    assert read_records(tmp_path / "out") == [(renamed[label], image) for label, image in read_records(source)]
    assert (tmp_path / "out/lfw.bin").read_bytes() == b"a set"
    assert (tmp_path / "out/property").read_text() == "6,112,112\n"
    names = (tmp_path / "out/classes.txt").read_text().splitlines()
    assert names == [f"person {label}" for label in (0, 1, 3, 4, 5, 6)]


def test_kept_labels_and_parts_are_the_very_bytes(source, tmp_path):
    manifest = subset(source, tmp_path / "out", keep_labels=True)
    assert manifest.num_classes == len(COUNTS)
    assert not (tmp_path / "out/classes.csv").exists()
    for path in source.glob("part-*"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert (tmp_path / "out/classes.txt").read_bytes() == (source / "classes.txt").read_bytes()


def test_identities_by_list(source, tmp_path):
    (tmp_path / "keep.txt").write_text("6\n0\n\n0\n")
    subset(source, tmp_path / "out", identities=tmp_path / "keep.txt")
    check_whole(tmp_path / "out")
    all_of = digests(read_records(source))
    assert digests(read_records(tmp_path / "out")) == {0: all_of[0], 1: all_of[6]}


def test_images_per_identity(source, tmp_path):
    subset(source, tmp_path / "out", Rules(min_images=3, max_images=4), keep_labels=True)
    check_whole(tmp_path / "out")
    selected, all_of = digests(read_records(tmp_path / "out")), digests(read_records(source))
    assert {label: len(each) for label, each in selected.items()} == {0: 4, 3: 4, 4: 3, 6: 4}
    assert all(set(selected[label]) <= set(all_of[label]) for label in selected)


def test_fraction_and_number_are_drawn_by_the_seed(source):
    labels = RecordSets(source).column("label")
    for rules, count in ((Rules(fraction=0.5), 11), (Rules(fraction=0.01, min_images=1), 0)):
        assert len(select(labels, len(COUNTS), rules)) == count
    drawn = {tuple(select(labels, len(COUNTS), Rules(fraction=0.5, seed=seed))) for seed in range(5)}
    assert len(drawn) == 5
    assert drawn == {tuple(select(labels, len(COUNTS), Rules(fraction=0.5, seed=seed))) for seed in range(5)}
    who = {tuple(np.unique(labels[select(labels, len(COUNTS), Rules(num_identities=3, seed=s))])) for s in range(40)}
    assert len(who) > 10 and all(len(each) == 3 and 2 not in each for each in who)


def test_rules_against_their_definition():
    """On labels of many kinds, rule by rule: each sees what those before it left."""
    rng = np.random.default_rng(5)
    for trial in range(50):
        classes = int(rng.integers(1, 30))
        labels = rng.integers(0, classes, int(rng.integers(1, 400))).astype(np.int32)
        dropped = rng.choice(len(labels), len(labels) // 5, replace=False)
        listed = rng.choice(classes, max(classes // 2, 1), replace=False)
        low, high = sorted(rng.integers(1, 15, 2).tolist())
        rules = Rules(drop=dropped, identities=listed, min_images=low, max_images=high, seed=trial)
        left = [i for i in range(len(labels)) if i not in set(dropped) and labels[i] in set(listed)]
        groups = {label: [i for i in left if labels[i] == label] for label in range(classes)}
        rows = select(labels, classes, rules)
        assert (np.diff(rows) > 0).all()
        for label, members in groups.items():
            kept = rows[labels[rows] == label].tolist()
            assert set(kept) <= set(members)
            assert len(kept) == (0 if len(members) < low else min(len(members), high))
    everyone = np.repeat(np.arange(4, dtype=np.int32), 1000)
    drawn = [select(everyone, 4, Rules(max_images=10, seed=seed)) for seed in range(300)]
    taken = np.bincount(np.concatenate(drawn), minlength=4000)
    assert taken.sum() == 300 * 40 and taken.max() < 18  # any image alike: 3 times on average


def test_lists_of_records(source, tmp_path):
    records = read_records(source)
    sizes = [part.records for part in Manifest.load(source).parts]
    by_part, by_number = tmp_path / "parts.csv", tmp_path / "numbers.csv"
    rows = ["part-00001,0,kept,0", "part-00000,2,why,1", "2,1,,", "part-00002,1,twice,"]
    by_part.write_text("\n".join(["part,record,reason,drop", *rows, "part-00001,,of a whole part,"]) + "\n")
    by_number.write_text(f"\ufeffrecord\n2\n{sizes[0] + sizes[1] + 1}\n", encoding="utf-8")
    gone = {2, sizes[0] + sizes[1] + 1}
    for number, path in enumerate((by_part, by_number)):
        subset(source, tmp_path / str(number), drop=path, keep_labels=True)
        check_whole(tmp_path / str(number))
        left = [record for i, record in enumerate(records) if i not in gone]
        assert read_records(tmp_path / str(number)) == left


FAULTY_LISTS = {
    "key,label,reason\n5,1,broken\n": "it lists what a conversion left out, which is not in the set",
    "a,b\n1,2\n": "it needs a first line with the columns",
    "": "it needs a first line with the columns",
    "part,record\npart-00009,1\n": "line 2: the set has no part 'part-00009'",
    "part,record\npart-00001,0\npart-00001,999\n": r"line 3: part-00001 has no record 999, only 0 to 6",
    "record\n22\n": "line 2: the set has no record 22, only 0 to 21",
    "record\n-1\n": "the set has no record -1",
    "record\nx\n": "line 2: 'x' is not a record's number",
}


@pytest.mark.parametrize("text", FAULTY_LISTS)
def test_faulty_lists(source, tmp_path, text):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=FAULTY_LISTS[text]):
        read_list(tmp_path / "list.csv", RecordSets(source))


FAULTS = {
    "fraction": (Rules(fraction=0), "--fraction 0 is not possible"),
    "minimum": (Rules(min_images=0), "--min_images must be at least 1"),
    "range": (Rules(min_images=4, max_images=3), "--max_images 3 is less than --min_images 4"),
    "too many": (Rules(num_identities=7), "--num_identities 7 is more than the 6 that are left"),
    "nothing left": (Rules(min_images=8), "No image is left of this choice"),
    "no label": (Rules(seed=-1), "--seed -1 is not possible"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_leave_nothing(source, tmp_path, name):
    rules, expected = FAULTS[name]
    with pytest.raises(UserError, match=expected):
        subset(source, tmp_path / "out", rules)
    assert not list(tmp_path.iterdir())


def test_more_faults_leave_nothing(source, tmp_path):
    (tmp_path / "keep").write_text("7\n")
    with pytest.raises(UserError, match="There is no identity 7 in the set: they are numbered 0 to 6"):
        subset(source, tmp_path / "out", identities=tmp_path / "keep")
    with pytest.raises(UserError, match="--num_part 23 is not possible for 22 image"):
        subset(source, tmp_path / "out", num_part=23)
    with pytest.raises(UserError, match="--workers must be at least 1"):
        subset(source, tmp_path / "out", workers=0)
    with pytest.raises(UserError, match="cannot be written while"):
        subset(source, source, force=True)
    with pytest.raises(UserError, match="cannot be written while"):
        subset(source, source.parent, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["keep"]
    assert not list(source.parent.glob(".*"))


def test_a_set_that_is_there_is_replaced_on_demand_only(source, tmp_path):
    subset(source, tmp_path / "out", num_part=5)
    before = contents(tmp_path / "out")
    with pytest.raises(UserError, match="out exists; --force replaces it"):
        subset(source, tmp_path / "out")
    with pytest.raises(UserError, match="No image is left"):
        subset(source, tmp_path / "out", Rules(min_images=8), force=True)
    assert contents(tmp_path / "out") == before
    subset(source, tmp_path / "out", Rules(min_images=5), num_part=2, force=True)
    assert len(check_whole(tmp_path / "out").parts) == 2
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis").write_text("")
    with pytest.raises(UserError, match=r"but no dataset.json, so it is not replaced"):
        subset(source, tmp_path / "home", force=True)
    (tmp_path / "empty").mkdir()
    subset(source, tmp_path / "empty")


def test_workers_and_parts_do_not_change_the_records(source, tmp_path):
    subset(source, tmp_path / "one", Rules(max_images=3), workers=1)
    subset(source, tmp_path / "two", Rules(max_images=3), workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    subset(source, tmp_path / "many", Rules(max_images=3), num_part=13)
    assert read_records(tmp_path / "many") == read_records(tmp_path / "one")


def test_any_order_is_read_right(source, tmp_path, monkeypatch):
    monkeypatch.setattr("preparation.record_sets._AT_ONCE", 5)
    sets, records = RecordSets(source), read_records(source)
    order = np.random.default_rng(0).permutation(len(records))
    write_set(sets, Chosen(order, sets.column("label")[order], 7, seed=0), tmp_path / "out", 4, 1, {})
    assert read_records(tmp_path / "out") == [records[i] for i in order]
    assert [sets.place(i) for i in (0, 21)] == [(source / "part-00000", 0), (source / "part-00002", 6)]


def test_a_damaged_source_is_refused(source, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(source, damaged)
    offset, length, _ = np.load(index_path(damaged / "part-00001"))[3].tolist()
    with open(damaged / "part-00001", "r+b") as file:
        file.seek(offset)
        file.write(bytes(length))
    with pytest.raises(UserError, match=r"Record 3 of .*damaged/part-00001 holds an image that is broken"):
        subset(damaged, tmp_path / "out")
    (tmp_path / "drop.csv").write_text("part,record\npart-00001,3\n")
    subset(damaged, tmp_path / "out", drop=tmp_path / "drop.csv")
    assert check_whole(tmp_path / "out").num_records == 21
    with open(damaged / "part-00002", "ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"part-00002 has \d+ bytes but dataset.json says"):
        subset(damaged, tmp_path / "again")
    (source / "classes.txt").rename(source / "kept")
    (source / "classes.txt").write_text("only one\n")
    with pytest.raises(UserError, match="has 1 lines for 7 identities"):
        subset(source, tmp_path / "again")
    (source / "kept").rename(source / "classes.txt")


def test_a_disk_that_is_too_small_is_found_before_writing(source, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("preparation.edit.write.shutil.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"needs [\d.]+ \w+ for the parts but has [\d.]+ \w+ free"):
        subset(source, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_is_put_right(source, tmp_path):
    subset(source, tmp_path / "out")
    before = contents(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / ".out.replaced")
    (tmp_path / ".out.unfinished/train").mkdir(parents=True)
    (tmp_path / ".out.unfinished/part-00077").write_text("half")
    with pytest.raises(UserError, match="out exists"):
        subset(source, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert not list(tmp_path.glob(".*"))


def test_held_out_identities(source, tmp_path):
    seen = []

    def finish(folder, sets, records, labels):
        seen.extend(zip(labels.tolist(), sets.images(records), strict=True))
        assert not (tmp_path / "out").exists()

    train, held = write_split(source, 2, Output(tmp_path / "out", num_part=2), 3, False, finish)
    sets = {name: digests(read_records(tmp_path / "out" / name)) for name in ("train", "held_out")}
    assert (train.num_classes, held.num_classes) == (4, 2)
    restored = {}
    for name, renumbered in sets.items():
        check_whole(tmp_path / "out" / name)
        for old, new in new_labels(tmp_path / "out" / name).items():
            restored[old] = renumbered[new]
    assert restored == digests(read_records(source))
    held_labels = set(new_labels(tmp_path / "out/held_out"))
    assert all(COUNTS[label] > 1 for label in held_labels)
    assert digests(seen) == {label: restored[label] for label in held_labels}
    assert (tmp_path / "out/train/lfw.bin").exists()


def test_who_is_held_out():
    labels = np.repeat(np.arange(5, dtype=np.int32), [1, 2, 2, 0, 6])
    who = [tuple(np.unique(labels[hold_out(labels, 5, 2, seed)])) for seed in range(30)]
    assert set(who) == {(1, 2), (1, 4), (2, 4)}
    with pytest.raises(UserError, match="--hold_out 4 is not possible: 3 of 4 identities have two or more images"):
        hold_out(labels, 5, 4, 0)
    with pytest.raises(UserError, match="somebody must be left"):
        hold_out(labels[1:], 5, 3, 0)


def test_digest_of_the_source_is_noted(source, tmp_path):
    manifest = subset(source, tmp_path / "out", Rules(min_images=2, seed=9))
    parts = Manifest.load(source).parts
    digest = hashlib.sha256("".join(f"{part.name} {part.crc32}\n" for part in parts).encode()).hexdigest()
    assert manifest.source["sets"] == [{"name": "faces", "records": 22, "classes": 7, "digest": digest}]
    assert manifest.source["subset"]["min_images"] == 2 and manifest.source["subset"]["seed"] == 9
