"""The sentence for keys, values, and values together that are not possible."""

import re
from typing import Any

import pytest

from tests.utils.config.loading import WriteConfig, load
from utils.config import load_config
from utils.config.file import BASE_FILE, run_config_file
from utils.config.insightface_keys import FOREIGN_KEYS
from utils.config.schema import SCHEMA, settle
from utils.errors import UserError

# --- keys ---


@pytest.mark.parametrize(
    ("key", "near"), [("batchsize", "batch_size"), ("xyzzy", None), ("warmup_epochs", "warmup_epoch")]
)
def test_unknown_key_is_named_with_its_place(key: str, near: str | None, write: WriteConfig) -> None:
    advice = f"did you mean {near}?" if near else "configs/base.py lists all keys."
    with pytest.raises(UserError, match=re.escape(f"Unknown key {key} on the command line: {advice}")):
        load(f"{key}=1")
    with pytest.raises(UserError, match=rf"Unknown key {key} in .*mine\.py: "):
        load_config(write(f"config.{key} = 1"))


@pytest.mark.parametrize("key", FOREIGN_KEYS)
def test_other_trainers_keys_have_their_own_sentence(key: str) -> None:
    with pytest.raises(UserError, match=f"Key {key} on the command line is not used here: .*[^.][.)]+$"):
        load(f"{key}=1")


# --- values ---

REFUSED = {
    "network": [None, "", 50],
    "embedding_size": [0, -1, 1.5, "512", None, True],
    "image_size": [0, 112.5, "112", (112,), (112, 96, 3), 100, 16, 1024],
    "gray": [0, None],
    "data_format": ["nhwc", None, 1],
    "dropout": [-0.1, 1, 1.5],
    "sync_batchnorm": [1, "yes", None],
    "activation_checkpointing": ["layers", True, 1],
    "pretrained": ["", 3, True],
    "freeze_backbone": [-1, 0.5],
    "loss": ["", True, 1],
    "margin_list": [
        (1, 0.5),
        (0, 0.5, 0),
        (-1, 0.5, 0),
        (1, "a", 0),
        0.5,
        None,
        (1, float("nan"), 0),
        (1, 28.6, 0),
        (1, -0.5, 0),
        (1, 0, -0.4),
    ],
    "logit_scale": [0, -64],
    "margin_gradient": ["approximate", None],
    "interclass_filtering_threshold": [-0.1, 1],
    "sample_rate": [0, -0.1, 1.01, True, "1"],
    "head_store": ["disk", None, True],
    "head_store_path": ["", 3],
    "head_dtype": ["bfloat16", 16, None],
    "correct_skipped": [1, 0, "True", None],
    "model_parallel": [1, 0, "True", None],
    "pretrained_head": ["", 3, True],
    "ofrecord_path": ["", 3],
    "synthetic": [1, "yes"],
    "num_classes": [0, 1, "forget"],
    "num_image": [0, "forget"],
    "sampler": ["", None, 4],
    "random_flip": [0.5],
    "augment": [
        {"crop": 1.1},
        {"crop": -0.1},
        {"crop": True},
        {"crop": "0.2"},
        {"crop": float("nan")},
        {0: 0.5},
        (("crop", 0.2),),
        "crop",
        "crop:x",
        "crop:0.2,crop:0.3",
        0.2,
        None,
    ],
    "verify_data": ["some", True, None],
    "num_workers": [0],
    "prefetch": [0],
    "batch_size": [0, -1, 0.5, 64.5, float("inf")],
    "gradient_acc": [0],
    "lr": [0, -0.1, "0.1", None, (0.1,), 10**400],
    "momentum": [-0.1, 1],
    "weight_decay": [-1e-4],
    "clip_grad_norm": [-1],
    "num_epoch": [0, 0.5],
    "warmup_epoch": [-1],
    "lr_schedule": [None, "", 3],
    "optimizer": [None, "", 3],
    "teacher": ["", 5],
    "label_smoothing": [-0.1, 1],
    "centers_per_class": [0, 1.5],
    "head_optimizer": ["", 3],
    "lr_multipliers": [{"backbone.*": 0}, {"backbone.*": "fast"}, 3],
    "head_weight_decay": [-1, "none"],
    "decay_norms_and_biases": [1, "no"],
    "frozen": [3, ("",)],
    "phases": [3, "two", [3]],
    "lr_power": [0],
    "decay_epoch": [(0,), (-1, 2), (8, 8), (12, 8), 8, "8", None],
    "decay_rate": [0, 1.1],
    "device": ["gpu", "CUDA", None, 0],
    "graph": [1],
    "fp16": ["O1", 16],
    "cpu_kernels": ["on", 1, None],
    "fused_ops": ["on", 1, None],
    "seed": [-1, 2**32, 0.5, None],
    "val_targets": [("lfw", "lfw"), ("lfw.bin",), ("a/b",), ("",), (1,), 5, None],
    "val_path": ["", 0],
    "val_batch_size": [0],
    "verbose": [-1],
    "output": ["", 1],
    "frequent": [0],
    "tensorboard": ["dir"],
    "using_wandb": [1, None],
    "wandb_key": ["", 3],
    "wandb_entity": ["", 3],
    "wandb_project": ["", 3],
    "wandb_resume": ["allow"],
    "suffix_run_name": ["", 3],
    "using_mlflow": [1, None],
    "mlflow_tracking_uri": ["", 3],
    "mlflow_experiment": ["", None],
    "save_artifacts": [1, None],
    "save_interval": [-1],
    "save_all_states": [1],
    "keep_checkpoints": [0],
    "resume_on_other_data": [1, None],
    "resume": ["", 1, None],
}


def test_every_key_has_a_refused_value() -> None:
    assert REFUSED.keys() == SCHEMA.keys()


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in REFUSED.items() for value in values])
def test_refused_value(key: str, value: Any) -> None:
    with pytest.raises(UserError) as refusal:
        settle(key, value, "in configs/x.py")
    assert str(refusal.value) == f"{key} = {value!r} in configs/x.py is not possible: it must be {SCHEMA[key].allowed}."


@pytest.mark.parametrize(
    "key", [key for key, value in run_config_file(BASE_FILE).items() if type(value) in (int, float)]
)
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "None", "", "x", "True"])
def test_no_number_takes_these(key: str, text: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"{key} = {text} on the command line is not possible: ")):
        load(f"{key}={text}")


@pytest.mark.parametrize("override", ["batch_size=6.5", "fp16=1", "resume=1", "resume=0", "network=None", "device=CPU"])
def test_refused_override(override: str) -> None:
    with pytest.raises(UserError, match="on the command line is not possible"):
        load(override)


@pytest.mark.parametrize(
    "uri",
    [
        "https://me:hunter2@mlflow.example/",
        "HTTPS://me:hun/@ter2@mlflow.example",
        "https://hunter2@mlflow.example",
        "postgresql+psycopg2://me:hunter2@host/faces",
        "postgresql://host/faces?user=me&password=hunter2",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(uri: str) -> None:
    words = "on the command line is not possible: .* MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    with pytest.raises(UserError, match=words) as refusal:
        load(f"mlflow_tracking_uri={uri}")
    assert "hunter2" not in str(refusal.value) and "ter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "sqlite:////home/a:b@c/mlflow.db", "postgresql://me@host/faces", "databricks"]
)
def test_an_address_without_a_password_is_taken(uri: str) -> None:
    assert load(f"mlflow_tracking_uri={uri}").mlflow_tracking_uri == uri


def test_refusal_names_the_file(write: WriteConfig) -> None:
    with pytest.raises(UserError, match=r"^sample_rate = 0 in .*mine\.py is not possible: it must be a number above 0"):
        load_config(write("config.sample_rate = 0"), require_data=False)


# --- values together ---


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["warmup_epoch=20"], "the warm-up must end before num_epoch"),
        (["decay_epoch=(8,20)", "lr_schedule=multistep"], "each decay_epoch must come before num_epoch"),
        (["decay_epoch=(2,8)", "lr_schedule=multistep", "warmup_epoch=3"], "before the warm-up has ended"),
        (["lr_schedule=multistep"], "say with decay_epoch"),
        (["decay_epoch=(8,12)"], 'write lr_schedule = "multistep"'),
    ],
)
def test_contradictions(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        load(*overrides)


def test_a_contradiction_names_keys_values_and_places() -> None:
    expected = "warmup_epoch = 30.0 (on the command line) with num_epoch = 20 (in configs/base.py) is not possible"
    with pytest.raises(UserError, match=re.escape(expected)):
        load("warmup_epoch=30")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([], "set ofrecord_path to a dataset's folder, or synthetic=True"),
        (["synthetic=True"], "needs num_classes"),
        (["synthetic=True", "num_classes=10"], "needs num_image"),
        (["synthetic=True", "num_classes=10", "num_image=999", "val_targets=lfw"], "set val_path"),
        (["ofrecord_path=x", "num_image=255", "gradient_acc=2"], "fewer images than one step takes"),
        (
            ["ofrecord_path=x", "activation_checkpointing=blocks", "graph=False"],
            "write graph=True, or activation_check",
        ),
        (["ofrecord_path=x", "fp16=True", "device=cpu"], "write fp16=False"),
        (["ofrecord_path=x", "fp16=True", "gradient_acc=2"], "write a larger batch_size with gradient_acc=1"),
    ],
)
def test_what_only_training_needs(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        load_config("base", overrides)
    load_config("base", overrides, require_data=False)


def test_random_data_may_replace_a_dataset() -> None:
    assert load_config("ms1mv3_r50", ["synthetic=True"]).num_classes == 93431


# --- loss and margin_list ---


@pytest.mark.parametrize(("loss", "margins"), [("arcface", (1.0, 0.5, 0.0)), ("cosface", (1.0, 0.0, 0.4))])
def test_loss_is_shorthand(loss: str, margins: tuple[float, ...], write: WriteConfig) -> None:
    assert load(f"loss={loss}").margin_list == margins
    assert load(f"loss={loss}", f"margin_list={margins}").loss == loss
    with pytest.raises(UserError, match=r"loss = .* and margin_list = .* in .*mine\.py disagree"):
        load_config(write(f"config.loss = {loss!r}", "config.margin_list = (1.0, 0.3, 0.2)"))


def test_the_later_of_loss_and_margin_list_counts() -> None:
    over_loss = load_config("glint360k_r50", ["margin_list=(1,0.3,0.2)"])
    assert (over_loss.loss, over_loss.margin_list) == (None, (1.0, 0.3, 0.2))
    over_margins = load_config("demo", ["loss=arcface"])
    assert (over_margins.loss, over_margins.margin_list) == ("arcface", (1.0, 0.5, 0.0))
