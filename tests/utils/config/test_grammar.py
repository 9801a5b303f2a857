"""Names with parameters in configs: what they mean, and the sentence for what cannot be."""

import pytest

from losses import configured_loss, list_embedding_losses, list_losses
from utils.config import dump_config, load_config
from utils.config.grammar import parse_call, parse_sum, read_signatures
from utils.config.rules import center_losses, embedding_losses
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


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("arcface", [(1.0, "arcface", {})]),
        ("arcface(s=64) + 0.5 * triplet(alpha=0.35)", [(1.0, "arcface", {"s": 64}), (0.5, "triplet", {"alpha": 0.35})]),
        ("3 * a + (b + 1e-3 * c)", [(3.0, "a", {}), (1.0, "b", {}), (1e-3, "c", {})]),
    ],
)
def test_sums_are_read(text, terms):
    assert parse_sum(text) == terms


@pytest.mark.parametrize(
    "text", ["a +", "-1 * a", "0 * a", "a * 2", "2 * (a + b)", "True * a", "1e999 * a", "f(x) * a", "2 * 3", "a + 'b'"]
)
def test_what_is_no_sum_is_refused(text):
    with pytest.raises(ValueError):
        parse_sum(text)


def test_a_sum_is_made_with_its_weights():
    loss = configured_loss(load_config("base", [*DATA, "loss=0.5 * arcface(m=0.3) + 32 * triplet(alpha=0.2)"]))
    assert (loss.weight, loss.name, loss.margin.scale) == (0.5, "arcface", 64)
    assert [(term.weight, term.name) for term in loss.terms] == [(32.0, "triplet")]


def test_signatures_are_those_of_the_registered_losses():
    signatures = center_losses()
    assert sorted(signatures) == list_losses()
    assert sorted(embedding_losses()) == list_embedding_losses()
    assert embedding_losses()["triplet"] == {"alpha": 0.35, "mining": "hard"}
    assert signatures["arcface"] == {"m": 0.5, "s": 64.0, "gradient": "exact"}
    assert list(signatures["combined"])[:3] == ["m1", "m2", "m3"] and signatures["magface"]["easy_margin"] is True


_NETWORKS = """
@register("small", depth=2, groups=1)
@register("large", depth=9)
def build(sizes, dropout: float, depth: int, width: float = 1.0, groups=4, output="gdc"):
    raise RuntimeError("executed")


@other("no")
def helper(a=1): ...
"""


def test_functions_have_signatures_too_without_what_a_name_fixes(tmp_path):
    (tmp_path / "networks.py").write_text(_NETWORKS)
    both = {"width": 1.0, "output": "gdc"}
    assert read_signatures(tmp_path) == {"small": both, "large": both | {"groups": 4}}


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["network=r51"], "There is no network r51 .*: did you mean r50"),
        (["network=r50(depth=3)"], "r50 has no parameter depth"),
        (["loss=arcfase"], "did you mean arcface"),
        (["loss=arcface(margin=0.5)"], "arcface has no parameter margin"),
        (["loss=arcface(0.5)"], "cannot be read"),
        (["loss=arcface(m=0.3,m=0.4)"], "cannot be read"),
        (["loss=arcface(m='x')"], "m must be a number, not 'x'"),
        (["loss=arcface(gradient=1)"], "gradient must be a text"),
        (["loss=magface(easy_margin=1)"], "easy_margin must be True or False"),
        (["loss=adaface", "margin_gradient=straight_through"], "has no such choice"),
        (["loss=adaface", "margin_list=(1.0,0.5,0.0)"], "keep one of them"),
        (["loss=arcface + 2 * tripled"], "did you mean triplet"),
        (["loss=arcface + triplet(m=0.3)"], "triplet has no parameter m"),
        (["loss=arcface + 0 * triplet"], "cannot be read"),
        (["loss=arcface - triplet"], "cannot be read"),
        (["loss=arcface + cosface"], "arcface and cosface are over class centers"),
        (["loss=2 * triplet"], "has no class centers"),
        (["loss=arcface + triplet + 2 * triplet"], "a loss twice"),
        (["loss=adaface + triplet", "margin_gradient=straight_through"], "has no such choice"),
        (["loss=arcface + triplet", "margin_list=(1.0,0.5,0.0)"], "keep one of them"),
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
        cfg = load_config("base", [*DATA, "logit_scale=32", *overrides])
        assert configured_loss(cfg).margin.scale == scale


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("arcface(s=0)", "above 0"),
        ("arcface + triplet(mining='soft')", '"hard" or "all"'),
        ("arcface(gradient='x')", "straight_through"),
    ],
)
def test_values_that_no_loss_can_have_get_a_sentence(loss, words):
    with pytest.raises(UserError, match=words):
        configured_loss(load_config("base", [*DATA, f"loss={loss}"]))
