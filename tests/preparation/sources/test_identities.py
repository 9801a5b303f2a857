"""Labels that float32 rounds. float16 stands in its place here: it holds every integer up to 2**11."""

import numpy as np
import pytest

from preparation.convert.to_ofrecord import Settings, convert
from preparation.sources.identities import exact_labels
from preparation.sources.recordio_file import ENTRY_DTYPE, LABELS_ONLY
from tests.data.mxnet_sets import jpegs, write_set
from tests.preparation.sources.people import records
from utils.errors import UserError

EXACT = 1 << 11


@pytest.fixture(autouse=True)
def half_precision(monkeypatch):
    monkeypatch.setattr("preparation.sources.identities._FLOAT", np.float16)
    monkeypatch.setattr("preparation.sources.identities.EXACT", EXACT)


def make(counts, identities=True):
    """Entries as a .rec file holds them, labels and ranges rounded, and the slice of the images."""
    labels = np.repeat(np.arange(len(counts)), counts)
    starts = 1 + np.cumsum(counts) - counts
    entries = np.zeros(1 + len(labels) + (len(counts) if identities else 0), ENTRY_DTYPE)
    entries["key"] = np.arange(len(entries))
    entries["kind"] = LABELS_ONLY
    images = slice(1, 1 + len(labels))
    entries["kind"][images] = 0
    with np.errstate(over="ignore"):
        entries["label"][images] = labels.astype(np.float16)
        entries["label"][images.stop :] = starts.astype(np.float16) if identities else []
    return entries, images, labels


def few_images(classes, last_counts=()):
    """Only the first identity and the last ones have images, so that all keys are small."""
    counts = np.zeros(classes, int)
    counts[0] = 1
    counts[classes - len(last_counts) :] = last_counts
    return counts


@pytest.mark.parametrize("last", [(1, 1, 1, 1, 1), (3, 1, 4, 2, 5, 6), (2, 0, 3, 1, 0, 4), (0, 0, 0, 1, 1, 1)])
def test_the_ranges_tell(last):
    entries, images, labels = make(few_images(EXACT + 5, last))
    assert (entries["label"][images] != labels).any()
    assert (exact_labels(entries, images, EXACT + 5, "train.rec") == labels).all()


def test_what_float_holds_needs_no_ranges():
    """2**11 + 2 alone is held as 2**11 + 2, and 2**11 where no 2**11 + 1 can be meant."""
    for classes, counts in ((EXACT + 1, (2, 3)), (EXACT + 3, (2, 3, 0, 0, 5))):
        entries, images, labels = make(few_images(classes, counts), identities=False)
        assert (exact_labels(entries, images, classes, "train.rec") == labels).all()


def test_labels_that_are_none_stay_as_they_are():
    entries, images, labels = make(few_images(EXACT + 5, (1, 1, 1, 1, 1)))
    entries["label"][1] = np.nan
    exact = exact_labels(entries, images, EXACT + 5, "train.rec")
    assert np.isnan(exact[0]) and (exact[1:] == labels[1:]).all()


def ambiguous_ranges():
    """The keys are so large themselves that two of them could be meant."""
    return make(np.full(EXACT + 5, 1))


def no_ranges():
    return make(few_images(EXACT + 5, (1, 1, 1, 1, 1)), identities=False)


def not_in_order():
    entries, images, labels = make(few_images(EXACT + 5, (2, 2, 2, 2, 2)))
    entries["label"][images] = entries["label"][images][::-1].copy()
    entries["label"][5] = 0
    return entries, images, labels


@pytest.mark.parametrize("case", [ambiguous_ranges, no_ranges, not_in_order])
def test_what_is_ambiguous_is_refused(case):
    entries, images, _ = case()
    with pytest.raises(UserError, match=r"label 20\d\d, to which float32 rounds the identities 20\d\d to"):
        exact_labels(entries, images, EXACT + 5, "train.rec")


def test_rounded_keys_that_leave_one_choice():
    """Of the keys beyond 2**11 float16 holds the even ones; 2102 and 2106 are those that no odd one is rounded to."""
    counts = few_images(EXACT + 5, (1, 1, 1, 2, 3))
    counts[0] = 2100
    entries, images, labels = make(counts)
    assert (exact_labels(entries, images, EXACT + 5, "train.rec") == labels).all()


def test_recordio_with_more_identities_than_float32_counts(tmp_path, monkeypatch):
    monkeypatch.undo()
    images, labels = jpegs(3), [0, 5, 1 << 24]
    source = write_set(tmp_path / "in", images, list(map(float, labels)), (1 << 24) + 1)
    manifest = convert(Settings(source, tmp_path / "out", num_part=1, shuffle=False))
    assert manifest.num_classes == (1 << 24) + 1
    assert records(tmp_path / "out") == list(zip(labels, images, strict=True))
    (source / "property").write_text(f"{(1 << 24) + 2},112,112")
    with pytest.raises(UserError, match="label 16777216, to which float32 rounds the identities 16777216 to 16777217"):
        convert(Settings(source, tmp_path / "refused", num_part=1))
    assert not list((tmp_path / "refused").glob("part-*"))
