"""Pooling of images to templates, in all settings, against loops from the definition."""

import numpy as np
import pytest

from evaluation import templates as module
from evaluation.templates import ALL_SETTINGS, Setting, image_features, template_features
from utils.errors import UserError

EVERY = [Setting(bool(norm), bool(detector), flip) for norm in (0, 1) for detector in (0, 1) for flip in (0, 1, 2)]


def unit(vector):
    norm = np.sqrt(np.sum(vector * vector))
    return vector / norm if norm else vector


def pooled(embeddings, scores, templates, medias, setting):
    """(T, E): the definition, one template and media after the other."""
    rows = []
    for template in range(max(templates) + 1):
        total = 0
        for media in set(medias[templates == template]):
            frames = []
            for image in np.flatnonzero((templates == template) & (medias == media)):
                plain, mirrored = embeddings[image].astype(np.float64)
                vector = [plain, np.concatenate([plain, mirrored]), plain + mirrored][setting.flip]
                vector = vector if setting.norm else unit(vector)
                frames.append(vector * scores[image] if setting.detector else vector)
            total = total + np.mean(frames, axis=0)
        rows.append(unit(total))
    return np.array(rows)


def random_images(images=300, count=40, size=8, seed=0):
    """Images of templates in no order, media numbers shared between templates, and one template of one image."""
    rng = np.random.default_rng(seed)
    templates = np.r_[np.arange(count), rng.integers(1, count, images - count)].astype(np.int32)
    rng.shuffle(templates)
    embeddings = rng.normal(size=(images, 2, size)).astype(np.float32) * rng.uniform(0.1, 10, (images, 1, 1))
    return embeddings.astype(np.float32), rng.random(images, np.float32), templates, rng.integers(0, 9, images)


@pytest.mark.parametrize("block", [1, 7, 4096])
@pytest.mark.parametrize("setting", EVERY, ids=str)
def test_pooling_is_as_defined(monkeypatch, setting, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    images = random_images()
    features = template_features(*images, setting)
    assert features.dtype == np.float32 and features.shape == (40, 16 if setting.flip == 1 else 8)
    np.testing.assert_allclose(features, pooled(*images, setting), rtol=0, atol=2e-7)


def test_a_memory_mapped_file_gives_the_same(tmp_path):
    embeddings, *others = random_images()
    np.save(tmp_path / "x.npy", embeddings)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    expected = template_features(embeddings, *others, Setting())
    np.testing.assert_array_equal(template_features(mapped, *others, Setting()), expected)
    np.testing.assert_array_equal(mapped, embeddings)


def test_the_frames_of_a_video_count_as_one_image():
    plain = np.float32([[4, 0], [0, 1], [0, 3]])
    embeddings = np.stack([plain, plain], axis=1)
    args = np.ones(3, np.float32), np.zeros(3, np.int32)
    setting = Setting.parse("N1D0F0")
    video = template_features(embeddings, *args, np.array([1, 2, 2]), setting)
    np.testing.assert_allclose(video, [[4 / np.sqrt(20), 2 / np.sqrt(20)]], rtol=1e-6)
    stills = template_features(embeddings, *args, np.array([1, 2, 3]), setting)
    np.testing.assert_allclose(stills, [[1 / np.sqrt(2)] * 2], rtol=1e-6)


@pytest.mark.parametrize("setting", EVERY, ids=str)
def test_nothing_stays_nothing(setting):
    """Zero scores, zero embeddings, and images that cancel out give a feature of zero, not NaN."""
    embeddings = np.float32([[[1, 2], [2, 1]], [[0, 0], [0, 0]], [[3, 4], [4, 3]], [[-3, -4], [-4, -3]]])
    scores, templates = np.float32([0, 1, 0.5, 0.5]), np.array([0, 1, 2, 2], np.int32)
    features = template_features(embeddings, scores, templates, np.arange(4), setting)
    assert (features[0].any() != setting.detector) and not features[1:].any()


def test_settings_by_name():
    assert [str(setting) for setting in ALL_SETTINGS] == [
        "N0D0F0", "N0D0F2", "N0D1F0", "N0D1F2", "N1D0F0", "N1D0F2", "N1D1F0", "N1D1F2",
    ]  # fmt: skip
    assert [Setting.parse(str(setting)) for setting in EVERY] == EVERY
    assert Setting.parse("n1d1f2") == Setting() and str(Setting()) == "N1D1F2"
    for text in ("", "N1D1", "N2D1F2", "N1D1F3", "N1D1F2 "):
        with pytest.raises(UserError, match="is not possible; it is N0 or N1"):
            Setting.parse(text)


def test_mirror_images_are_asked_for_only_where_they_count():
    embeddings, scores = np.float32([[[3, 4]]]), np.float32([0.5])
    np.testing.assert_allclose(image_features(embeddings, scores, Setting.parse("N1D1F0")), [[1.5, 2]])
    for flip in (1, 2):
        with pytest.raises(UserError, match="needs embeddings of the mirror images"):
            image_features(embeddings, scores, Setting(flip=flip))
