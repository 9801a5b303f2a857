"""What --print_phases says, against the phases themselves."""

import re

import pytest

from engine.phase import make_phases
from engine.plan import describe_plan, rate_plot
from planning.rehearsal import show_plan
from utils.config import load_config
from utils.errors import UserError

PHASES = [
    {"num_epoch": 1, "loss": "softmax", "frozen": ("backbone.*",)},
    {"num_epoch": 3, "batch_size": 16, "optimizer": "adamw", "lr": 0.01, "lr_schedule": "constant", "sample_rate": 0.5},
]


def phases(*overrides):
    settings = ["synthetic=True", "num_classes=10", "num_image=960", "batch_size=32", "lr=0.4", *overrides]
    return make_phases(load_config("base", settings), 960, 2)


def test_every_phase_with_what_it_trains():
    text = describe_plan(phases(f"phases={PHASES}"), 960, 2)
    assert text.startswith("960 images, 2 rank(s): 105 steps in 4 epoch(s)")
    first, second = (re.sub(" +", " ", part) for part in text.split("Phase ")[1:3])
    assert first.startswith("1 of 2: epochs 0 to 0\n steps 0 to 15, 15 an epoch\n batch 64 images\n loss softmax\n")
    assert "frozen backbone.*\n" in first and "centers all" in first and "0.4 at first" in first
    assert second.startswith("2 of 2: epochs 1 to 3\n steps 15 to 105, 30 an epoch\n batch 32 images\n")
    assert "optimizer adamw\n" in second and "0.01 at first, 0.01 at most, 0.01 at last" in second
    assert "frozen nothing" in second and "a sample of 0.5" in second


def test_samplers_and_teachers_of_each_phase():
    own = [{"num_epoch": 1, "sampler": "balanced(images=4)"}, {"loss": "arcface + 7 * distillation"}]
    for teacher, how in (
        ("x.npy", "stored embeddings"),
        ("a.onnx", "run beside the step"),
        ("a_run", "run in the step"),
    ):
        text = describe_plan(phases(f"phases={own}", f"teacher={teacher}"), 960, 2)
        first, second = (re.sub(" +", " ", part) for part in text.split("Phase ")[1:3])
        assert "sampler balanced(images=4)\n" in first and "teacher none\n" in first
        assert "sampler shuffle\n" in second and f"teacher {teacher}, {how}\n" in second


def test_a_frozen_beginning_is_a_phase():
    text = describe_plan(phases("freeze_backbone=7", "num_epoch=2"), 960, 2)
    assert "30 steps in 2 epoch(s)" in text and "steps     0 to 7," in text and "steps     7 to 30," in text


def test_the_plot_has_the_rate_of_each_step():
    own = phases("lr_schedule=multistep", "decay_epoch=(1,)", "decay_rate=0.5", "num_epoch=2")
    *rows, line, steps = rate_plot(own, width=64, height=5)
    columns = ["".join(row[10:].ljust(30)[column] for row in rows) for column in range(30)]
    assert columns == ["*||||"] * 15 + ["  *||"] * 15  # half of the rate at half of the height
    assert rows[0].split()[0] == "0.4" and line.endswith("-" * 30) and steps.split()[-1] == "30"
    many = phases(f"phases={PHASES}")
    *_, numbers, _ = rate_plot(many, width=35)
    assert numbers.split() == ["phase", "1" * 5 + "2" * 30]


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (
            ["network=mobilenet_v2", "data_format=NHWC"],
            "not possible with mobilenet_v2",
        ),
        (["network=r18", "frozen=('backbone.layer9.*',)"], r"backbone\.layer9"),
    ],
)
def test_a_network_that_cannot_be_trained_so_is_reported(overrides, fault):
    with pytest.raises(UserError, match=fault):
        show_plan(load_config("synthetic", overrides), ranks=1)


def test_no_weights_are_drawn(monkeypatch, capsys):
    def draw(*_):
        raise AssertionError("a weight is drawn")

    for name in ("normal_", "kaiming_uniform_", "uniform_"):
        monkeypatch.setattr(f"oneflow.nn.init.{name}", draw)
    show_plan(load_config("synthetic", ["network=r18"]), ranks=1)
    assert "1,000,000 images, 1 rank" in capsys.readouterr().out
