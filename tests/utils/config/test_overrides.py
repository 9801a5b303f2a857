"""What a user writes behind a config takes the type of its key, or is refused."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.utils.config.loading import WriteConfig, load
from utils.config import dump_config, load_config
from utils.errors import UserError

# --- typed overrides ---


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("batch_size=64", 64),
        ("batch_size=64.0", 64),
        ("num_image=1e6", 1_000_000),
        ("lr=1", 1.0),
        ("lr = 0.05", 0.05),
        ("fp16=true", True),
        ("graph=False", False),
        ("resume=True", True),
        ("resume=work_dirs/demo/step_10", "work_dirs/demo/step_10"),
        ("output=/x/y=z", "/x/y=z"),
        ("output=2024", "2024"),
        ("output=true", "true"),
        ("val_path=None", None),
        ("num_classes=None", None),
        ("fused_ops=auto", "auto"),
        ("fused_ops=false", False),
        ("margin_list=(1.0,0.0,0.4)", (1.0, 0.0, 0.4)),
        ("margin_list=[1,0,0.4]", (1.0, 0.0, 0.4)),
        ("margin_list=1, 0.5, 0", (1.0, 0.5, 0.0)),
        ("decay_epoch=()", ()),
        ("val_targets=lfw,cfp_fp", ("lfw", "cfp_fp")),
        ("val_targets=lfw", ("lfw",)),
        ("val_targets=[lfw, cfp_fp]", ("lfw", "cfp_fp")),
        ("val_targets=('lfw', 'cfp_fp')", ("lfw", "cfp_fp")),
        ("val_targets=('lfw')", ("lfw",)),
        ("val_targets=", ()),
    ],
)
def test_override_takes_the_type_of_its_key(override: str, value: Any) -> None:
    setting = load(override)[override.partition("=")[0].strip()]
    assert (setting, type(setting)) == (value, type(value))


@pytest.mark.parametrize(
    "text", ['{"crop": 0.25, "low_resolution": 1}', "crop:0.25,low_resolution:1", "{crop: 0.25, low_resolution: 1.0}"]
)
def test_probabilities_of_augmentation(text: str, tmp_path: Path) -> None:
    cfg = load(f"augment={text}")
    assert cfg.augment == {"crop": 0.25, "low_resolution": 1.0}
    assert [type(value) for value in cfg.augment.values()] == [float, float]
    path = tmp_path / "config.py"
    path.write_text(dump_config(cfg))
    assert load_config(path, require_data=False).augment == cfg.augment


def test_old_names_of_operations_still_load(write: WriteConfig) -> None:
    old = write("config.augment = {'colour': 0.5, 'grey': 0.25}")
    assert load_config(old, require_data=False).augment == {"color": 0.5, "gray": 0.25}
    assert load("augment=grey:0.25,colour:0.5").augment == {"gray": 0.25, "color": 0.5}
    with pytest.raises(UserError, match="is not possible"):
        load("augment=grey:0.25,gray:0.5")


@pytest.mark.parametrize("text", ["()", "", "{}"])
def test_no_augmentation(text: str, write: WriteConfig) -> None:
    assert load_config(write("config.augment = {'crop': 1}"), [f"augment={text}"], require_data=False).augment == {}


@pytest.mark.parametrize(
    ("name", "advice"),
    [("colours", "did you mean color?"), ("lowresolution", "did you mean low_resolution?"), ("x", "there are crop,")],
)
def test_unknown_operations_are_named(name: str, advice: str, write: WriteConfig) -> None:
    sentence = re.escape(f"names an unknown operation {name}: {advice}")
    with pytest.raises(UserError, match=f"^augment on the command line {sentence}"):
        load(f"augment={name}:0.5")
    with pytest.raises(UserError, match=rf"^augment in .*mine\.py {sentence}"):
        load_config(write(f"config.augment = {{{name!r}: 0.5}}"), require_data=False)


def test_one_number_is_enough_for_decay_epoch() -> None:
    assert load("lr_schedule=multistep", "decay_epoch=10").decay_epoch == (10.0,)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--lr=0.1", "keys are set without dashes: lr=0.1."),
        ("--fp16", "keys are set without dashes: fp16=VALUE."),
        ("lr", "write key=value"),
        ("=3", "write key=value"),
        ("", "write key=value"),
    ],
)
def test_not_an_override(argument: str, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        load(argument)
