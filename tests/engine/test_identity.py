"""What a user reads when a run goes on from a checkpoint of another sampler or teacher, or of other data."""

from types import SimpleNamespace

import pytest

from engine.identity import check_same_run, learned_from, phase_of, run_identity
from engine.phase import make_phases
from engine.phase_step import trained_with
from utils.config import load_config
from utils.errors import UserError

DATA = ["synthetic=True", "num_classes=10", "num_image=960"]
DISTILLED = "loss=arcface + 7 * distillation"


def note(
    before: list[str], now: list[str], digests=(None, None), forget=(), held: str | None = "a", data: str = "a"
) -> str | None:
    """held, data: digests of the datasets before and now."""
    about = {}
    for overrides, digest in zip((before, now), digests, strict=True):
        cfg = load_config("base", [*DATA, *overrides])
        (phase,) = make_phases(cfg, 960, 1)
        if not about:
            about = run_identity(cfg, 10, phase) | trained_with(cfg) | learned_from(cfg, digest)
            about = {key: value for key, value in about.items() if key not in forget}
    if held is not None:
        about["data_digest"] = held
    return check_same_run(SimpleNamespace(about=about, folder="c"), cfg, 10, phase, data, digest)


def test_the_same_run_needs_no_word():
    assert note(["sampler=balanced"], ["sampler=balanced"]) is None
    assert note([], ["sampler=balanced"], forget=("sampler", "teacher", "teacher_digest")) is None, "of before"
    taught = [DISTILLED, "teacher=a.npy"]
    assert note(taught, [DISTILLED, "teacher=moved/a.npy"], ("1", "1")) is None, "the same weights elsewhere"


TAUGHT = [DISTILLED, "teacher=a.npy"]


@pytest.mark.parametrize(
    ("before", "now", "digests", "words"),
    [
        ([], ["sampler=balanced"], (None, None), "with sampler shuffle; this run goes on with sampler balanced"),
        (TAUGHT, [DISTILLED, "teacher=b.npy"], (None, "2"), "teacher a.npy; this run goes on with teacher b.npy"),
        (TAUGHT, TAUGHT, ("1", "2"), "teacher a.npy; this run goes on with teacher a.npy, which is another one"),
        (["sampler=balanced"], ["optimizer=adamw"], (None, None), "from scratch. The checkpoint was trained with sam"),
    ],
)
def test_another_sampler_or_teacher_is_said(before, now, digests, words):
    assert words in note(before, now, digests)


def test_another_dataset_of_the_same_size_is_refused():
    with pytest.raises(UserError, match=r"another dataset .* of the same size; .* resume_on_other_data=True"):
        note([], [], held="a", data="b")
    assert note([], [], held=None, data="b") is None, "of before"


def test_another_dataset_on_purpose():
    assert "trained on another dataset" in note([], ["resume_on_other_data=True"], held="a", data="b")
    assert note([], ["resume_on_other_data=True"]) is None


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ("seed=1", "seed=2", "has seed 1 but this run has 2"),
        ("network=r18", "network=r34", "has network r18 but this run has r34"),
        ("embedding_size=64", "embedding_size=128", "has embedding_size 64 but"),
        ("image_size=(96, 112)", "image_size=(112, 112)", r"has image_shape \[96, 112, 3\] but"),
        ("batch_size=48", "batch_size=64", "has global_batch 48 but"),
    ],
)
def test_another_run_is_refused(before, now, words):
    with pytest.raises(UserError, match=words):
        note([before], [now])


@pytest.mark.parametrize(("about", "number"), [({"phase": 0}, 0), ({"phase": 1}, 1), ({"phase": 7}, 1), ({}, 1)])
def test_at_the_end_of_a_phase_the_checkpoint_says_which_one_wrote_it(about, number):
    phases = [SimpleNamespace(number=0, first=0, stop=4), SimpleNamespace(number=1, first=4, stop=9)]
    assert phase_of({"step": 4, **about}, phases).number == number
