"""Optimizers, schedules and phases in configs."""

import pytest

from utils.config import dump_config, load_config
from utils.config.phases import resolve_phases
from utils.errors import UserError

FILE = """from easydict import EasyDict as edict
config = edict(ofrecord_path="data", num_epoch=4, lr=0.1, loss="magface")
config.phases = [
    {"num_epoch": 1, "loss": "arcface", "frozen": ["backbone.*"], "lr_backbone_scale": 0.5},
    {"optimizer": "adamw(beta2=0.95)", "lr": 1e-3, "lr_schedule": "cosine(lr_min=1e-5)", "batch_size": 64.0},
]
"""


def load(tmp_path, text=FILE, *overrides):
    file = tmp_path / "run.py"
    file.write_text(text)
    return load_config(file, overrides)


def test_a_phase_is_the_config_but_for_what_it_states(tmp_path):
    cfg = load(tmp_path)
    first, second = resolve_phases(cfg)
    assert (first.num_epoch, first.loss, first.margin_list, first.lr) == (1, "arcface", (1.0, 0.5, 0.0), 0.1)
    assert first.frozen == ("backbone.*",) and first.lr_multipliers == {"backbone.*": 0.5}
    assert (second.num_epoch, second.loss, second.lr, second.batch_size) == (4, "magface", 1e-3, 64)
    assert type(second.batch_size) is int and second.frozen == () and second.phases == ()
    assert resolve_phases(first) == [first]


def test_phases_survive_a_dump(tmp_path):
    cfg = load(tmp_path)
    again = load(tmp_path, dump_config(cfg))
    assert again == cfg and resolve_phases(again) == resolve_phases(cfg)


def test_phases_of_the_command_line(tmp_path):
    cfg = load(tmp_path, FILE, "phases=[{'lr': 0.5}]")
    assert [phase.lr for phase in resolve_phases(cfg)] == [0.5]


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ("{'network': 'r18'}", "Key network in phase 1 on the command line cannot change between phases"),
        ("{'lrr': 1}", "Unknown key lrr in phase 1"),
        ("{'lr': 0}", "lr = 0 in phase 1"),
        ("{'loss': 'magfase'}", "magfase .in phase 1 on the command line.: did you mean magface"),
        ("{'sampler': 'class_balance'}", "There is no sampler class_balance .in phase 1"),
        ("{'optimizer': 'adamv'}", "There is no optimizer adamv .in phase 1"),
        ("{'lr_schedule': 'cosine(lrmin=1)'}", "cosine has no parameter lrmin; did you mean lr_min"),
        ("{'warmup_epoch': 9}", "the warm-up must end before num_epoch"),
    ],
)
def test_what_is_wrong_in_a_phase_is_named_with_it(tmp_path, stated, words):
    with pytest.raises(UserError, match=words):
        load(tmp_path, FILE, f"phases=[{stated}]")


def test_freeze_backbone_is_a_phase_itself(tmp_path):
    with pytest.raises(UserError, match="short for a first phase"):
        load(tmp_path, FILE, "freeze_backbone=5")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer=adm", "There is no optimizer adm .on the command line.: did you mean adam"),
        ("head_optimizer=sgdv", "There is no head_optimizer sgdv"),
        ("optimizer=adamw(betas=0.9)", "adamw has no parameter betas"),
        ("optimizer=sgd(momentum='high')", "momentum must be a number"),
        ("lr_schedule=linear", "There is no lr_schedule linear"),
        ("lr_schedule=multistep(epochs=3)", "epochs must be a tuple of numbers"),
        ("sampler=balance", "There is no sampler balance .on the command line.: did you mean balanced"),
        ("sampler=balanced(4)", "sampler = 'balanced.4.' on the command line cannot be read"),
        ("sampler=balanced(image=4)", "balanced has no parameter image; did you mean images"),
        ("sampler=balanced(images='four')", "images must be a number"),
    ],
)
def test_names_and_parameters_are_checked_with_the_nearest_one(override, words):
    with pytest.raises(UserError, match=words):
        load_config("demo", [override])


def test_the_key_of_before_means_a_multiplier(tmp_path):
    assert load_config("demo", ["lr_backbone_scale=0.1"]).lr_multipliers == {"backbone.*": 0.1}
    assert load_config("demo", ["lr_backbone_scale=1"]).lr_multipliers == {}
    assert load_config("demo", ["lr_multipliers=backbone.*:0.1,head.weight:2"]).lr_multipliers == {
        "backbone.*": 0.1,
        "head.weight": 2.0,
    }
    with pytest.raises(UserError, match="disagree; keep lr_multipliers"):
        load_config("demo", ["lr_backbone_scale=0.1", "lr_multipliers=backbone.*:0.2"])
