"""Magnitudes, the error-versus-reject curve and MagFace's range against their definitions."""

import json

import cv2
import numpy as np
import pytest

from evaluation.bin_set import write_bin
from evaluation.pairs import read_bin
from evaluation.quality import DROPPED, error_versus_reject, magnitudes, pair_quality
from evaluation.quality_files import write_quality
from evaluation.report import write_report
from evaluation.results import read_result, write_result
from evaluation.templates import template_quality
from evaluation.verify_pairs import verify_pairs
from tests.data.mxnet_sets import jpegs
from utils.errors import UserError


def world(pairs=4000, seed=0):
    """Scores of pairs whose noise falls with their quality, of which some are equal."""
    rng = np.random.default_rng(seed)
    same, quality = rng.random(pairs) < 0.5, rng.integers(0, 50, pairs) / 10
    return np.where(same, 0.6, 0.0) + rng.normal(size=pairs) / (1 + quality), same, quality


def naive(scores, same, quality, fmr, percent):
    """FNMR at the lowest of all thresholds at which no more than `fmr` of the different pairs left are accepted."""
    left = sorted(range(len(scores)), key=lambda pair: quality[pair])[len(scores) * percent // 100 :]
    mated = [scores[pair] for pair in left if same[pair]]
    others = np.array([scores[pair] for pair in left if not same[pair]])
    threshold = min(t for t in [*mated, *others, np.inf] if np.mean(others >= t) <= fmr)
    return np.mean(np.array(mated) < threshold)


@pytest.mark.parametrize("fmr", [0.1, 0.02])
def test_the_curve_is_as_defined(fmr):
    scores, same, quality = world(600)
    curve = error_versus_reject(scores, same, quality, fmr)
    assert curve["fmr"] == fmr and curve["dropped"] == [percent / 100 for percent in range(0, 100, 5)]
    for percent, fnmr in zip(DROPPED, curve["fnmr"], strict=True):
        left = np.argsort(quality, kind="stable")[600 * percent // 100 :]
        if (~same[left]).sum() * fmr < 1:
            assert fnmr is None
        else:
            assert fnmr == pytest.approx(naive(scores, same, quality, fmr, percent), abs=1e-12)
    assert curve["fnmr"][0] is not None


def test_errors_fall_with_quality_and_not_with_its_opposite():
    scores, same, quality = world()
    falling, rising = (error_versus_reject(scores, same, sign * quality, 0.01)["fnmr"] for sign in (1, -1))
    assert falling[0] == rising[0] and falling[15] < 0.5 * falling[0] and rising[15] > 0.9 * rising[0]


def test_too_few_pairs_are_said_and_not_guessed():
    scores, same, quality = world(1500)
    curve = error_versus_reject(scores, same, quality)
    assert curve["fnmr"] == [None] * 20  # FMR 1e-3 needs 1,000 different pairs
    assert error_versus_reject(scores[same], same[same], quality[same], 0.1)["fnmr"] == [None] * 20


def test_magnitudes_are_without_flip_and_pairs_as_good_as_their_worse_half():
    embeddings = np.random.default_rng(1).normal(size=(9000, 2, 5)).astype(np.float32)
    quality = magnitudes(embeddings)
    np.testing.assert_allclose(quality, np.sqrt((embeddings[:, 0].astype(np.float64) ** 2).sum(axis=1)), rtol=1e-12)
    np.testing.assert_array_equal(pair_quality(np.array([3.0, 1.0, 2.0]), np.array([0, 0]), np.array([1, 2])), [1, 2])


def test_a_long_video_counts_once():
    templates, medias = np.array([1, 0, 1, 1, 0]), np.array([5, 2, 5, 7, 3])
    quality = template_quality(np.array([10.0, 1.0, 20.0, 30.0, 3.0]), templates, medias)
    np.testing.assert_allclose(quality, [2.0, (15 + 30) / 2])


def test_many_templates_are_as_good_as_by_hand():
    rng = np.random.default_rng(2)
    templates = np.r_[np.arange(900), rng.integers(0, 900, 9000)]
    medias, norms = rng.integers(0, 6, len(templates)), rng.random(len(templates))
    quality = template_quality(norms, templates, medias)
    for template in range(0, 900, 53):
        own = templates == template
        means = [norms[own & (medias == media)].mean() for media in set(medias[own].tolist())]
        assert quality[template] == pytest.approx(np.mean(means))


def test_the_curve_reaches_results_and_the_page(tmp_path):
    write_bin(tmp_path / "set.bin", jpegs(60), [True, False, True] * 10)
    pairs = read_bin(tmp_path / "set.bin")
    embeddings = np.random.default_rng(0).normal(size=(60, 2, 6)).astype(np.float32)
    _, result = verify_pairs("set", pairs, embeddings, "a model", out=tmp_path / "out", fmr=0.1)
    norms = np.linalg.norm(embeddings[:, 0].astype(float), axis=1).reshape(-1, 2).min(axis=1)
    unit = embeddings.sum(axis=1, dtype=np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = (unit[0::2] * unit[1::2]).sum(axis=1)
    assert result["error_versus_reject"]["fnmr"] == error_versus_reject(cosines, pairs.issame, norms, 0.1)["fnmr"]
    assert read_result(tmp_path / "out" / "set.json") == result
    earlier = {key: value for key, value in result.items() if key != "error_versus_reject"} | {"model": "earlier"}
    write_result(earlier | {"hardest": []}, tmp_path / "earlier", "set")
    paths = [tmp_path / "earlier" / "set.json", tmp_path / "out" / "set.json"]
    page = write_report(paths, tmp_path / "page").read_text()
    assert "a model, FMR 0.1" in page and "earlier, FMR" not in page
    assert (tmp_path / "page" / "1-set-error-versus-reject.png").read_bytes().startswith(b"\x89PNG")
    page = write_report(paths[:1], tmp_path / "old").read_text()  # of before there was a curve
    assert "Error versus reject: FNMR" not in page
    for wrong in ({"fnmr": [1]}, {"fnmr": ["x"], "dropped": [0]}, {"dropped": None}, 7):
        curve = result["error_versus_reject"] | wrong if isinstance(wrong, dict) else wrong
        paths[0].write_text(json.dumps(earlier | {"error_versus_reject": curve}))
        with pytest.raises(UserError, match="not a result as an evaluation writes it"):
            read_result(paths[0])


def test_files_are_in_the_order_of_quality(tmp_path):
    write_bin(tmp_path / "set.bin", jpegs(30), [True] * 15)
    images = read_bin(tmp_path / "set.bin").images
    quality = np.random.default_rng(3).permutation(30) + 1.0
    write_quality(images, quality, tmp_path / "out", faces=14)
    header, *lines = (tmp_path / "out" / "quality.csv").read_text().splitlines()
    assert header == "number,magnitude,image"
    assert [float(line.split(",")[1]) for line in lines] == list(range(1, 31))
    assert [int(line.split(",")[0]) for line in lines] == np.argsort(quality).tolist()
    sheet = cv2.imread(str(tmp_path / "out" / "sheet.png"))[:, :, ::-1]
    assert sheet.shape == (2 * 130, 12 * 112, 3)
    worst, best = (int(number) for number in (quality.argmin(), quality.argmax()))
    np.testing.assert_array_equal(sheet[:112, :112], images.decode(worst, worst + 1)[0])
    np.testing.assert_array_equal(sheet[130:242, 112:224], images.decode(best, best + 1)[0])
    assert (sheet[130:, 224:] == 255).all()
