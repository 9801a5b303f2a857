"""IJB as a whole against plain loops over the same files, on drawn faces and on inputs that are hard to get right."""

import numpy as np
import pytest

from evaluation import ijb as module
from evaluation.ijb import check_embeddings, evaluate_ijb, ijb_result, pair_scores
from evaluation.ijb_meta import GALLERIES, load_ijb
from evaluation.templates import Setting
from preparation.drawn.ijb import DemoIjb, make_demo_ijb
from tests.evaluation.ijb_files import write_ijb, write_small_ijb
from tests.evaluation.ijb_naive import NaiveIjb
from utils.errors import UserError

EVERY = [f"N{norm}D{detector}F{flip}" for norm in (0, 1) for detector in (0, 1) for flip in (0, 1, 2)]


def agree(root, target, embeddings, setting, tolerance):
    ijb = load_ijb(root, target)
    check_embeddings(ijb, embeddings)
    judged = evaluate_ijb(ijb, embeddings, Setting.parse(setting))
    result = ijb_result(target, "model", judged)
    naive = NaiveIjb(root, target, embeddings, setting)
    for scores, kind in ((judged.roc.same_scores, True), (judged.roc.different_scores, False)):
        expected = sorted(score for score, same in naive.pairs if same is kind)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=tolerance)
    for far in range(1, 7):
        assert result["tar_at_far"][f"1e-0{far}"] == naive.tar(10.0**-far)
    assert result["identification"] == pytest.approx(naive.identification(GALLERIES[target]), abs=1e-12)
    for gallery in GALLERIES[target]:
        one = naive.identification([gallery])
        assert {key: result["galleries"][gallery][key] for key in one} == pytest.approx(one, abs=1e-12)
    assert result["pairs"] == len(naive.pairs) and result["same"] == sum(same for _, same in naive.pairs)
    return result


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("release")
    make_demo_ijb(root, DemoIjb("IJBC", people=8, seed=0))
    return root


def recognizing(root, noise, seed=0):
    """Embeddings that know who it is, but for noise, and are longer where the detector is sure."""
    ijb = load_ijb(root, "IJBC")
    rng = np.random.default_rng(seed)
    person = np.zeros(len(ijb.template_ids), int)
    for roster in (*ijb.galleries.values(), ijb.probes):
        person[roster.templates] = roster.subjects
    people = rng.normal(size=(person.max() + 1, 1, 6))
    rows = people[person[ijb.templates]] + noise * rng.normal(size=(len(ijb.names), 2, 6))
    return (rows * (1 + 9 * ijb.detector_scores[:, None, None])).astype(np.float32)


@pytest.mark.parametrize("setting", EVERY)
def test_drawn_faces(demo, setting):
    result = agree(demo, "IJBC", recognizing(demo, noise=1.0), setting, tolerance=5e-7)
    assert 0 < result["tar_at_far"]["1e-01"] < 1 and 0 < result["identification"]["rank-1"] < 1
    assert result["tar_at_far"]["1e-03"] is None and result["setting"] == setting


def directions(rng, count, setting):
    """Vectors of ones and minus ones, (count, 2, E), of which four count: cosines are exact halves, so that many tie.

    The mirror image's are the image's, or the two others of the four.
    """
    if setting.endswith("F1"):
        return rng.choice([-1.0, 1.0], (count, 2, 2))
    return np.repeat(rng.choice([-1.0, 1.0], (count, 1, 4)), 2, axis=1)


@pytest.mark.parametrize("setting", EVERY)
@pytest.mark.parametrize("seed", range(2))
def test_ties_strangers_and_nothing(tmp_path, setting, seed):
    """Templates of one image, media of one frame, frames under one number in other templates, scores of zero, probes
    without mate in either gallery, equal pairs in both orders."""
    rng = np.random.default_rng(seed)
    count = 60
    template_of = np.r_[np.arange(count), rng.integers(0, count // 2, 60)]
    rng.shuffle(template_of)
    medias = np.where(rng.random(len(template_of)) < 0.5, 7, 100 + np.arange(len(template_of)))
    # Media of two frames only, so that means are exact; equal directions within a template, so that norms are.
    for template in range(count):
        medias[np.flatnonzero((template_of == template) & (medias == 7))[2:]] += 1000 + template
    embeddings = directions(rng, count, setting)[template_of] * 2.0 ** rng.integers(-2, 3, (len(template_of), 1, 1))
    embeddings[template_of == 3] = 0
    scores = rng.choice([0.25, 0.5, 1], len(template_of))
    scores[template_of == 4] = 0
    pairs = [(int(a) + 1, int(b) + 1, int(rng.random() < 0.2)) for a, b in rng.integers(0, count, (2000, 2))]
    pairs += [(b, a, same) for a, b, same in pairs[:50]]
    write_ijb(
        tmp_path,
        images=[(t + 1, m, s) for t, m, s in zip(template_of.tolist(), medias.tolist(), scores.tolist(), strict=True)],
        pairs=pairs,
        galleries={"S1": [(t, t) for t in range(1, 9)], "S2": [(t, t) for t in range(9, 16)]},
        probes=[(t, int(rng.integers(1, 20))) for t in range(16, count + 1)],
        target="IJBB",
    )
    agree(tmp_path, "IJBB", embeddings.astype(np.float32), setting, tolerance=0)


@pytest.mark.parametrize("label", [0, 1])
def test_pairs_of_one_kind_alone(tmp_path, label):
    write_small_ijb(tmp_path)
    path = tmp_path / "IJBC/meta/ijbc_template_pair_label.txt"
    path.write_text(f"3 7 {label}\n5 9 {label}\n")
    ijb = load_ijb(tmp_path, "IJBC")
    embeddings = np.random.default_rng(0).normal(size=(6, 2, 4)).astype(np.float32)
    result = ijb_result("IJBC", "model", evaluate_ijb(ijb, embeddings, Setting()))
    assert set(result["tar_at_far"].values()) == {None} and result["auc"] is None and result["same"] == 2 * label


@pytest.mark.parametrize("rows", [1, 3, 256])
def test_pair_scores_in_blocks_of_any_size(monkeypatch, rows):
    monkeypatch.setattr(module, "_ROWS", rows)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(10, 5)).astype(np.float32)
    first, second = rng.integers(0, 10, (2, 500)).astype(np.int32)
    first[first == 6] = 2  # and so a block without pairs
    expected = [
        float(features[a].astype(float) @ features[b].astype(float)) for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(pair_scores(features, first, second), expected, rtol=0, atol=2e-6)


def test_without_identification(tmp_path):
    write_small_ijb(tmp_path)
    ijb = load_ijb(tmp_path, "IJBC", identification=False)
    embeddings = np.random.default_rng(0).normal(size=(6, 2, 4)).astype(np.float32)
    result = ijb_result("IJBC", "model", evaluate_ijb(ijb, embeddings, Setting()))
    assert result["identification"] == result["galleries"] == {}


@pytest.mark.parametrize("checked", [1, 3, 4096])
def test_embeddings_that_cannot_be_judged(tmp_path, monkeypatch, checked):
    monkeypatch.setattr("evaluation.ijb._CHECKED", checked)
    write_small_ijb(tmp_path)
    ijb = load_ijb(tmp_path, "IJBC")
    with pytest.raises(UserError, match=r"\(5, 2, 4\); IJBC has 6 images, which takes \(6, 2, E\)"):
        check_embeddings(ijb, np.zeros((5, 2, 4), np.float32))
    embeddings = np.zeros((6, 2, 4), np.float32)
    embeddings[2, 1, 0], embeddings[4, 0, 3] = np.nan, np.inf
    with pytest.raises(UserError, match=r"of 2 of 6 images have NaN or infinity: 3\.jpg, 5\.jpg"):
        check_embeddings(ijb, embeddings)
    with pytest.raises(UserError, match="N1D1F2 needs embeddings of the mirror images"):
        evaluate_ijb(ijb, embeddings[:, :1], Setting())
