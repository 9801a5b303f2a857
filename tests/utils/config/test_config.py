"""Loading, merging, typing and refusing: what a user may write, and the sentence for what is not possible."""

import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from easydict import EasyDict

from utils.config import dump_config, format_config, load_config
from utils.config.file import BASE_FILE, REPO, run_config_file
from utils.config.insightface_keys import FOREIGN_KEYS
from utils.config.schema import SCHEMA, settle
from utils.errors import UserError

WriteConfig = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteConfig:
    """Writes a run file with the given statements after `config = edict()`."""

    def write_config(*statements: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(("from easydict import EasyDict as edict", "config = edict()", *statements)) + "\n")
        return path

    return write_config


def load(*overrides: str) -> EasyDict:
    return load_config("base", overrides, require_data=False)


# --- the contract ---


def test_schema_and_base_have_the_same_keys_in_the_same_order() -> None:
    assert list(SCHEMA) == list(run_config_file(BASE_FILE))


def test_every_key_of_base_is_explained() -> None:
    lines = [line for line in BASE_FILE.read_text().splitlines() if line.startswith("config.")]
    assert len(lines) == len(SCHEMA)
    for line in lines:
        assert re.fullmatch(r"config\.\w+ = .+  # .+", line), f"no comment: {line}"


def test_no_foreign_key_is_also_valid() -> None:
    assert not FOREIGN_KEYS.keys() & SCHEMA.keys()


# --- layers ---


def test_command_line_over_file_over_base(write: WriteConfig) -> None:
    path = write("config.lr = 0.5", "config.momentum = 0.8", "config.ofrecord_path = 'x'")
    cfg = load_config(path, ["lr=0.3", "lr=0.2"])
    assert (cfg.lr, cfg.momentum, cfg.num_epoch) == (0.2, 0.8, 20)
    assert cfg.output == "work_dirs/mine"


def test_insightface_file_loads(write: WriteConfig) -> None:
    cfg = load_config(
        write(
            'config.loss = "cosface"',
            "config.sample_rate = 1",
            "config.interclass_filtering_threshold = 0",
            "config.decay_epoch = [8, 12]",
            'config.lr_schedule = "multistep"',
            'config.ofrecord_path = "/data/ofrecord"',
            'config.val_targets = ["lfw", "agedb_30"]',
        )
    )
    assert (cfg.margin_list, cfg.decay_epoch, cfg.val_targets) == ((1.0, 0.0, 0.4), (8.0, 12.0), ("lfw", "agedb_30"))
    assert type(cfg.sample_rate) is float


def test_loads_share_no_state(write: WriteConfig) -> None:
    first = load("synthetic=True")
    first.lr = 7.0
    assert load().lr == 0.1
    shared = write("config.val_targets = ['lfw']", "config.ofrecord_path = 'x'")
    assert load_config(shared) == load_config(shared)


@pytest.mark.parametrize("module", ["configs.base", "configs.datasets.ms1mv3"])
def test_a_file_may_build_on_another(module: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f'from {module} import config\nconfig.loss = "cosface"\nconfig.lr = 0.7\n')
    path_before = list(sys.path)
    before = {name: sys.modules[name] for name in sys.modules if name.startswith("configs")}
    cfg = load_config(path, require_data=False)
    assert (cfg.margin_list, cfg.lr) == ((1.0, 0.0, 0.4), 0.7)
    assert load_config("ms1mv3_r50").lr == load().lr == 0.1
    assert {name: sys.modules[name] for name in sys.modules if name.startswith("configs")} == before
    assert sys.path == path_before


# --- finding and executing files ---


@pytest.mark.parametrize(
    "name", ["demo", "demo.py", "configs/demo", "configs/demo.py", str(REPO / "configs" / "demo.py")]
)
def test_a_run_is_found_by_name_or_path_from_anywhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(name).output == str(REPO / "work_dirs/demo")


def test_the_cwd_comes_before_the_repo_for_files(write: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("config.lr = 0.75", name="demo.py")
    monkeypatch.chdir(path.parent)
    assert load_config("demo.py", require_data=False).lr == 0.75


def test_a_bare_name_never_runs_a_program_of_the_cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo.py").write_text("open('ran', 'w')\n")
    monkeypatch.chdir(tmp_path)
    assert load_config("demo").output == str(REPO / "work_dirs/demo")
    assert not Path("ran").exists()


@pytest.mark.parametrize(("name", "hint"), [("ms1mv3_r51", "ms1mv3_r50"), ("nothing-like-it", "demo, emore_r100")])
def test_missing_file_lists_names(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"no config file {name}; .*{hint}"):
        load_config(name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("config = \nx = 1\n", "mine.py, line 1: SyntaxError"),
        ("x = 1\n\nconfig = undefined\n", "mine.py, line 3: NameError: name 'undefined'"),
        ("import no_such_module\n", "mine.py, line 1: ModuleNotFoundError"),
        ("from configs.datasets.nowhere import config\n", "mine.py, line 1: ModuleNotFoundError"),
        ("x = 1\n", "mine.py has no config"),
        ("import sys\nsys.exit(0)\n", "mine.py ends the program"),
        ("raise SystemExit\n", "mine.py ends the program"),
        ("config = 3\n", "mine.py has no config"),
    ],
)
def test_broken_file_is_named_with_its_line(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(sentence)):
        load_config(path)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(b"\x00\xff\xfe")
    with pytest.raises(UserError, match=r"mine\.py"):
        load_config(path)


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


# --- writing ---


def test_format_is_aligned_and_complete() -> None:
    lines = format_config(load()).splitlines()
    assert [line.split(":")[0] for line in lines] == list(SCHEMA)
    assert len({re.search(r": +", line).end() for line in lines}) == 1


def test_random_configs_read_back_from_their_dump(tmp_path: Path) -> None:
    draw = random.Random(0)
    path = tmp_path / "config.py"
    for _ in range(100):
        epochs = draw.randint(4, 50)
        decay = sorted({draw.uniform(1.5, epochs - 0.1) for _ in range(3)})
        path.write_text(
            dump_config(
                load(
                    f"lr={draw.expovariate(1) + 1e-9!r}",
                    f"num_epoch={epochs}",
                    f"warmup_epoch={draw.random()!r}",
                    *draw.choice([(), ("lr_schedule=multistep", f"decay_epoch={decay!r}")]),
                    draw.choice(["loss=None", "loss=arcface", "loss=cosface", f"margin_list=1,{draw.random()},0.1"]),
                    f"fused_ops={draw.choice(['auto', 'True', 'False'])}",
                    f"resume={draw.choice(['True', 'False', 'a b/ü', 'it' + chr(39) + 's'])}",
                    f"output={draw.choice(['None', 'back' + chr(92) + 'slash', 'quo' + chr(34) + 'te'])}",
                    f"val_targets={draw.choice(['', 'lfw', 'lfw,cfp_fp'])}",
                    f"num_classes={draw.choice([None, 10])}",
                )
            )
        )
        first = load_config(path, require_data=False)
        assert dump_config(first) == path.read_text()
