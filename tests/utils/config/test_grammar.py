"""Names with parameters in configs: what they mean, and the sentence for what cannot be."""

import pytest

from losses import configured_margin, list_losses
from utils.config import dump_config, load_config
from utils.config.grammar import parse_call, read_signatures
from utils.config.rules import LOSSES_FOLDER
from utils.errors import UserError

DATA = ["synthetic=True", "num_classes=10", "num_image=1000", "val_targets=()"]


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("arcface", ("arcface", {})),
        (" arcface ( m = 0.3, s=-64 ) ", ("arcface", {"m": 0.3, "s": -64})),
        ("a(b='x', c=(1, 2.5), d=True)", ("a", {"b": "x", "c": (1, 2.5), "d": True})),
    ],
)
def test_calls_are_read(text, call):
    assert parse_call(text) == call


@pytest.mark.parametrize("text", ["", "a b", "a(1)", "a(m=b)", "a(m=__import__('os'))", "a.b", "a(m=1", "1", "a(**b)"])
def test_what_is_no_call_is_refused(text):
    with pytest.raises(ValueError):
        parse_call(text)


def test_signatures_are_those_of_the_registered_losses():
    signatures = read_signatures(LOSSES_FOLDER)
    assert sorted(signatures) == list_losses()
    assert signatures["arcface"] == {"m": 0.5, "s": 64.0, "gradient": "exact"}
    assert list(signatures["combined"])[:3] == ["m1", "m2", "m3"] and signatures["magface"]["easy_margin"] is True


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["loss=arcfase"], "did you mean arcface"),
        (["loss=arcface(margin=0.5)"], "arcface has no parameter margin"),
        (["loss=arcface(0.5)"], "cannot be read"),
        (["loss=arcface(m=0.3,m=0.4)"], "cannot be read"),
        (["loss=arcface(m='x')"], "m must be a number, not 'x'"),
        (["loss=arcface(gradient=1)"], "gradient must be a text"),
        (["loss=magface(easy_margin=1)"], "easy_margin must be True or False"),
        (["loss=adaface", "margin_gradient=straight_through"], "has no such choice"),
        (["loss=adaface", "margin_list=(1.0,0.5,0.0)"], "keep one of them"),
    ],
)
def test_mistakes_get_a_sentence(overrides, sentence):
    with pytest.raises(UserError, match=sentence):
        load_config("base", [*DATA, *overrides])


def test_a_loss_survives_its_dump(tmp_path):
    cfg = load_config("base", [*DATA, "loss=arcface(m=0.3, s=32)"])
    (tmp_path / "again.py").write_text(dump_config(cfg))
    assert load_config(tmp_path / "again.py").loss == "arcface(m=0.3, s=32)"
    assert load_config(tmp_path / "again.py", ["margin_list=(1.0,0.0,0.3)"]).loss is None


def test_a_loss_takes_the_scale_of_the_config_unless_it_states_its_own():
    for overrides, scale in ((["loss=adaface"], 32), (["loss=adaface(s=16)"], 16), (["loss=arcface"], 32), ([], 32)):
        assert configured_margin(load_config("base", [*DATA, "logit_scale=32", *overrides])).scale == scale


@pytest.mark.parametrize(
    ("loss", "words"), [("arcface(s=0)", "above 0"), ("arcface(gradient='x')", "straight_through")]
)
def test_values_that_no_loss_can_have_get_a_sentence(loss, words):
    with pytest.raises(UserError, match=words):
        configured_margin(load_config("base", [*DATA, f"loss={loss}"]))
