"""Pairs drawn from people: balanced in every fold, none twice, people counting alike; what cannot be drawn is said."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.make_bin import EncodedImages, draw_pairs, people_in
from utils.errors import UserError


def people(*counts):
    return [[Path(f"{person}/{image}") for image in range(count)] for person, count in enumerate(counts)]


def possible(people):
    """(same, different) pairs, by listing every two images."""
    files = [file for images in people for file in images]
    same = sum(first.parent == second.parent for first, second in combinations(files, 2))
    return same, len(files) * (len(files) - 1) // 2 - same


def check(pairs, count, folds):
    assert len(pairs) == count
    assert len({frozenset(pair[:2]) for pair in pairs}) == count, "a pair twice"
    for first, second, same in pairs:
        assert first != second and (first.parent == second.parent) == same
    half = count // folds // 2
    assert [same for *_, same in pairs] == ([True] * half + [False] * half) * folds


@pytest.mark.parametrize("disjoint", [False, True])
@pytest.mark.parametrize(("counts", "pairs", "folds"), [((4,) * 40, 200, 10), ((2, 3, 30, 2, 5, 9) * 7, 120, 10)])
def test_balanced_without_repeats(counts, pairs, folds, disjoint):
    drawn = draw_pairs(people(*counts), pairs, 3, folds, disjoint)
    check(drawn, pairs, folds)
    assert drawn == draw_pairs(people(*counts), pairs, 3, folds, disjoint)
    assert drawn != draw_pairs(people(*counts), pairs, 4, folds, disjoint)
    if disjoint:
        size = pairs // folds
        runs = [drawn[start : start + size] for start in range(0, pairs, size)]
        seen = [{file.parent for pair in run for file in pair[:2]} for run in runs]
        assert not any(first & second for first, second in combinations(seen, 2))


@pytest.mark.parametrize("counts", [(3, 3), (1, 1, 4), (5, 1, 2, 2, 7), (2, 2), (2,) * 9, (40, 1, 1)])
def test_all_that_is_possible_and_no_more(counts):
    """With one fold, the most is twice the scarcer kind; all of them can be drawn."""
    everyone = people(*counts)
    most = 2 * min(possible(everyone))
    check(draw_pairs(everyone, most, 0, folds=1), most, 1)
    with pytest.raises(UserError, match=f"{most + 2} pairs are not possible.*at most {most} in 1 balanced folds"):
        draw_pairs(everyone, most + 2, 0, folds=1)


@pytest.mark.parametrize("counts", [(5,), (1,) * 30, (2,)])
def test_nothing_to_draw_from(counts):
    with pytest.raises(UserError, match="give none in 10 balanced folds; add people and images"):
        draw_pairs(people(*counts), 20, 0)


def test_the_most_that_is_named_can_be_drawn():
    everyone = people(*(3,) * 45)
    for disjoint in (False, True):
        with pytest.raises(UserError, match="at most") as refused:
            draw_pairs(everyone, 6000, 0, disjoint=disjoint)
        most = int(str(refused.value).partition("at most ")[2].split()[0])
        check(draw_pairs(everyone, most, 0, disjoint=disjoint), most, 10)


@pytest.mark.parametrize("pairs", [0, -20, 10, 30, 601])
def test_folds_that_would_not_be_balanced(pairs):
    with pytest.raises(UserError, match="a multiple of 20"):
        draw_pairs(people(*(4,) * 40), pairs, 0)


def test_people_count_alike():
    """One with 100 images among those with 2 gives no more than they do, until they have no more to give."""
    drawn = draw_pairs(people(100, *(2,) * 59), 120, 0)
    assert Counter(first.parent for first, _, same in drawn if same) == Counter(Path(str(n)) for n in range(60))
    couples = Counter(frozenset((first.parent, second.parent)) for first, second, same in drawn if not same)
    assert max(couples.values()) == 1
    more = draw_pairs(people(100, *(2,) * 59), 1200, 0)
    assert Counter(first.parent for first, _, same in more if same)[Path("0")] == 600 - 59


def test_every_pair_is_as_likely():
    """Of four images of one person there are six pairs; drawn one at a time they come up alike."""
    seen = Counter(frozenset(draw_pairs([*people(4), [Path("x/0")]], 2, seed, folds=1)[0][:2]) for seed in range(1200))
    assert len(seen) == 6
    assert sum((count - 200) ** 2 / 200 for count in seen.values()) < 25  # chi square of 5: one in 7,000 is above


def test_very_many_people_are_not_listed_two_by_two():
    everyone = people(*(2,) * 50_000)
    check(draw_pairs(everyone, 6000, 0), 6000, 10)


def image(path, size=(112, 112), seed=0):
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))
    return path


def test_people_are_folders_of_images(tmp_path):
    image(tmp_path / "Ω" / "b.png")
    image(tmp_path / "Ω" / "a.JPG")
    image(tmp_path / "王" / "a.bmp")
    image(tmp_path / "loose.png")
    (tmp_path / "Ω" / "notes.txt").touch()
    (tmp_path / "nobody").mkdir()
    (tmp_path / "Ω" / "._a.JPG").write_bytes(b"of another system")
    image(tmp_path / ".thumbs" / "a.png")
    assert people_in(tmp_path) == {
        "Ω": [tmp_path / "Ω" / "a.JPG", tmp_path / "Ω" / "b.png"],
        "王": [tmp_path / "王" / "a.bmp"],
    }
    with pytest.raises(UserError, match="holds no folders of images"):
        people_in(tmp_path / "nobody")
    with pytest.raises(UserError, match="there is no folder"):
        people_in(tmp_path / "missing")


def test_bytes_are_kept_where_they_can_be(tmp_path):
    jpeg, png, bmp = (image(tmp_path / f"a{suffix}", seed=1) for suffix in (".jpg", ".png", ".bmp"))
    reader = EncodedImages()
    first, second, third, again = reader.read([jpeg, png, bmp, jpeg])
    assert first == jpeg.read_bytes() and second == png.read_bytes() and again is first
    assert third.startswith(b"\x89PNG") and reader.converted == [bmp] and reader.resized == []
    decoded = cv2.imdecode(np.frombuffer(third, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded, cv2.imread(str(bmp)))


def test_another_size_is_refused_or_scaled(tmp_path):
    large, small = image(tmp_path / "large.png", (224, 224)), image(tmp_path / "small.jpg", (50, 60))
    with pytest.raises(UserError, match=r"large.png is 224x224 pixels, not 112x112.*--resize; .*small.jpg is 50x60"):
        EncodedImages().read([large, small])
    wide = EncodedImages(image_size=(50, 60))
    assert wide.read([small]) == [small.read_bytes()] and not wide.converted
    with pytest.raises(UserError, match=r"large.png is 224x224 pixels, not 50x60"):
        wide.read([large])
    reader = EncodedImages(resize=True, image_size=(96, 128))
    assert cv2.imdecode(np.frombuffer(reader.read([large])[0], np.uint8), 1).shape == (96, 128, 3)
    reader = EncodedImages(resize=True)
    half, grown = (cv2.imdecode(np.frombuffer(b, np.uint8), 1) for b in reader.read([large, small]))
    assert reader.resized == reader.converted == [large, small]
    assert half.shape == grown.shape == (112, 112, 3)
    blocks = cv2.imread(str(large)).reshape(112, 2, 112, 2, 3).mean((1, 3))
    assert np.abs(half - blocks).max() <= 0.5


def test_all_that_cannot_be_used_is_named(tmp_path):
    good = image(tmp_path / "good.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no image")
    bad = [tmp_path / name for name in ("empty.png", "text.jpg", "missing.jpg")]
    with pytest.raises(UserError) as refused:
        EncodedImages().read([good, *bad, *(image(tmp_path / f"{n}.png", (9, 9)) for n in range(4))])
    said = str(refused.value)
    assert "empty.png is no image that decodes; " in said and "text.jpg is no image" in said
    assert "missing.jpg cannot be read: No such file" in said and said.endswith("; and 2 more")
