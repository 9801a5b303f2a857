"""Config files of arcface_torch and arcface_oneflow: all load as they are, and one notice says what they mean."""

import json
from pathlib import Path

import pytest

from heads.sampling import ClassSampler
from tools.start_training import main
from utils.config import load_config, read_config
from utils.config.file import REPO
from utils.errors import UserError

# Keys and values of every file in the configs/ of both projects.
CONFIGS: dict[str, dict] = json.loads(Path(__file__).with_name("insightface_configs.json").read_text())
TORCH = [name for name in CONFIGS if name.startswith("arcface_torch/")]
AUGMENT = {"low_resolution": 0.1, "blur": 0.2, "gray": 0.1}
ONEFLOW = [name for name in CONFIGS if name.startswith("arcface_oneflow/")]


def write(path: Path, stated: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["from easydict import EasyDict as edict", "", "config = edict()"]
    path.write_text("\n".join([*lines, *(f"config.{key} = {value!r}" for key, value in stated.items())]) + "\n")
    return path


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both projects as they are cloned: PROJECT/configs/NAME.py, a base.py among them."""
    root = tmp_path_factory.mktemp("insightface")
    for name, stated in CONFIGS.items():
        project, _, file = name.partition("/")
        write(root / project / "configs" / file, stated)
    return root


def path_of(name: str, theirs: Path) -> Path:
    project, _, file = name.partition("/")
    return theirs / project / "configs" / file


def test_there_are_all_of_both_projects() -> None:
    assert (len(TORCH), len(ONEFLOW)) == (43, 11)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("apart", [False, True], ids=["in its folder", "alone"])
def test_every_file_prints_its_config(
    name: str, apart: bool, theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = write(tmp_path / "alone.py", CONFIGS[name]) if apart else path_of(name, theirs)
    assert main([str(path), "--print_config"]) == 0
    printed, said = capsys.readouterr()
    stated, torch = CONFIGS[name], name in TORCH
    if not (apart and name.endswith("speed.py")):  # its own keys are all ours
        assert f"is an arcface_{'torch' if torch else 'oneflow'} config" in said
    assert ("It cannot be trained as it is: ofrecord_path = None" in said) == (name == "arcface_torch/base.py")
    assert "Unknown key" not in said
    for key in ("rec", "dali", "partial_fc", "ofrecord_part_num", "dataset"):
        assert key not in stated or key in said
    copy = tmp_path / "printed.py"
    copy.write_text(printed)
    cfg = load_config(copy, require_data=False)  # what is printed can be trained on, and needs no notice
    assert read_config(copy, require_data=False).notice == ""
    assert (cfg.lr_power, cfg.margin_gradient) == ((1, "straight_through") if torch else (2, "exact"))
    assert cfg.lr_schedule == ("multistep" if "decay_epoch" in stated else "polynomial")
    assert (cfg.network, cfg.lr, cfg.batch_size) == (stated["network"], stated["lr"], stated["batch_size"])
    assert cfg.warmup_epoch == max(stated.get("warmup_epoch", 0), 0)
    assert cfg.num_epoch == stated.get("num_epoch", 20)
    if torch:
        assert cfg.sample_rate == (stated["sample_rate"] or 1e-6)
        assert cfg.margin_list == tuple(stated["margin_list"])
    else:
        assert cfg.sample_rate == (stated["sample_rate"] if stated.get("partial_fc") else 1.0)
        if not (apart and name.endswith("speed.py")):
            assert (cfg.clip_grad_norm, cfg.verbose, cfg.frequent) == (0, 600, 50)
            assert "clip_grad_norm = 0.0, verbose = 600, frequent = 50" in said
        assert cfg.margin_list == ((1.0, 0.0, 0.4) if stated["loss"] == "cosface" else (1.0, 0.5, 0.0))


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "arcface_torch/base.py"])
def test_every_file_that_names_data_can_be_trained(name: str, theirs: Path) -> None:
    load_config(path_of(name, theirs))


def test_recordio_is_used_converted(tmp_path: Path) -> None:
    rec = tmp_path / "faces emore"
    path = write(tmp_path / "mine.py", {"rec": str(rec), "num_classes": 10, "num_image": 5000})
    command = f"python tools/mx_recordio_2_ofrecord.py --data_dir '{rec}' --out '{rec}/ofrecord'"
    loaded = read_config(path)
    assert loaded.cfg.ofrecord_path == f"{rec}/ofrecord"
    assert command in loaded.notice
    assert command not in read_config(path, ["ofrecord_path=elsewhere"]).notice
    rec.mkdir()
    assert f"python tools/prepare_dataset.py '{rec}' --out" in read_config(path).notice  # a folder of pictures
    for folder in (rec.with_name("faces emore_ofrecord"), rec / "ofrecord", rec):
        folder.mkdir(exist_ok=True)
        (folder / "dataset.json").write_text('{"num_classes": 12, "num_records": 4999}')
        loaded = read_config(path)
        assert loaded.cfg.ofrecord_path == str(folder)
        assert (loaded.cfg.num_classes, loaded.cfg.num_image) == (12, 4999)
        assert "num_classes = 10 -> 12, as the dataset has it" in loaded.notice


@pytest.mark.parametrize(
    ("stated", "expected", "sentence"),
    [
        ({"rec": "synthetic"}, {"synthetic": True}, "rec = 'synthetic' -> synthetic = True"),
        ({"rec": "x", "ofrecord_path": "/y"}, {"ofrecord_path": "/y", "lr_power": 2}, "ignored     rec:"),
        ({"rec": "x", "lr_power": 3.0, "margin_gradient": "exact"}, {"lr_power": 3, "margin_gradient": "exact"}, ""),
        ({"rec": "x", "loss": "adaface"}, {"margin_gradient": "exact"}, ""),
        ({"rec": "x", "fp16": True, "gradient_acc": 4}, {"fp16": False, "gradient_acc": 4}, "-> fp16 = False"),
        ({"rec": "x", "dali": True, "dali_aug": True}, {"augment": AUGMENT}, "hue and saturation stay"),
        ({"rec": "x", "dali": False, "dali_aug": True}, {"augment": {}}, "only with dali = True"),
        ({"rec": "x", "num_image": "forget"}, {"num_image": None}, "'forget'"),
        ({"rec": "x", "using_wandb": True, "wandb_key": "k"}, {"using_wandb": True, "wandb_key": "k"}, "rec"),
        ({"rec": "x", "wandb_log_all": True, "wandb_key": "k"}, {}, "wandb_log_all: figures are of all ranks"),
        ({"rec": "x", "gradient_acc": 4}, {"gradient_acc": 4}, "averaged here and summed there, as if lr were 4 times"),
        ({"head": "cosface", "dataset": "a", "ofrecord_path": "x"}, {"loss": "cosface"}, "head -> loss = 'cosface'"),
        ({"partial_fc": 0, "sample_rate": 0.1, "model_parallel": True}, {"sample_rate": 1}, "sample_rate = 0.1 -> 1.0"),
        ({"partial_fc": 1, "sample_rate": 0.1}, {"sample_rate": 1}, "only with partial_fc and model_parallel"),
        ({"dataset": "a", "sample_rate": 0.1}, {"sample_rate": 1}, "sample_rate = 0.1 -> 1.0"),
        ({"partial_fc": 1, "sample_rate": 0.1, "model_parallel": True}, {"sample_rate": 0.1}, "lr_power = 2.0, m"),
        ({"rec": "x", "partial_fc": 0, "sample_rate": 0.1}, {"sample_rate": 1}, "-> 1.0: partial_fc is off"),
        ({"dataset": "a", "clip_grad_norm": 5, "frequent": 1}, {"clip_grad_norm": 5, "frequent": 1}, "verbose = 600"),
        ({"dataset": "a", "lr_power": 2}, {}, "defaults as there: margin_gradient = exact, clip_grad_norm"),
        ({"dataset": "a", "decay_epoch": [3]}, {"lr_power": 2}, "defaults as there: margin_gradient = exact, clip_"),
        ({"dataset": "a", "warmup_epoch": 2}, {"warmup_epoch": 2}, "does not use it"),
    ],
)  # fmt: skip
def test_translations(stated: dict, expected: dict, sentence: str, tmp_path: Path) -> None:
    stated = {"num_classes": 10, "num_image": 5000, **({} if "rec" in stated else {"ofrecord_path": "x"}), **stated}
    loaded = read_config(write(tmp_path / "mine.py", stated))
    assert {key: loaded.cfg[key] for key in expected} == expected
    assert sentence in loaded.notice


def test_the_command_line_needs_no_translation(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", {"rec": "x", "fp16": True, "gradient_acc": 4})
    assert load_config(path, ["gradient_acc=1"]).fp16
    assert "averaged" not in read_config(path, ["gradient_acc=1"]).notice
    assert load_config(path, ["loss=adaface"]).margin_gradient == "exact"


def test_their_base_lies_below_their_file_and_ours_stays_alone(tmp_path: Path) -> None:
    write(tmp_path / "base.py", {"dali": False, "lr": 0.5, "momentum": 0.8, "rec": "a"})
    path = write(tmp_path / "job.py", {"lr": 0.25})
    loaded = read_config(path)
    assert (loaded.cfg.lr, loaded.cfg.momentum) == (0.25, 0.8)
    assert loaded.places["momentum"] == f"in {tmp_path / 'base.py'}"
    write(tmp_path / "base.py", {"momentum": 0.8})  # a file of somebody else's
    assert load_config(path, require_data=False).momentum == 0.9


@pytest.mark.parametrize("text", ["", "def broken(\n", "config = {}\nclass Base: dali = 1\n", "self.dali = 1\n", "\0"])
@pytest.mark.parametrize("rec", [False, True], ids=["ours", "theirs"])
def test_a_base_of_anybodys_is_not_executed(text: str, rec: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "job.py", {"lr": 0.25, **({"rec": "x"} if rec else {})})
    if rec and "config" in text:
        text = text.replace("config", "settings")
    (tmp_path / "base.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit\n{text}")
    assert load_config(path, require_data=False).lr == 0.25
    assert not (tmp_path / "ran").exists()


def test_files_are_judged_after_they_ran(tmp_path: Path) -> None:
    path = tmp_path / "base.py"
    path.write_text(
        "from easydict import EasyDict as edict\nconfig = edict()\nconfig.dataset = 'webface'\n"
        "if config.dataset == 'emore':\n    config.ofrecord_path, config.unknown = 'a', 1\n"
        "else:\n    config.ofrecord_path, config.num_image = 'b', 'forget'\n"
    )
    assert load_config(path).ofrecord_path == str(tmp_path / "b")


def test_all_findings_come_at_once(tmp_path: Path) -> None:
    stated = {"rec": "x", "foo": 1, "lr": -1, "network": "r5O", "lr_steps": [1], "warmup_epoch": 30}
    with pytest.raises(UserError) as refused:
        load_config(write(tmp_path / "mine.py", stated), ["batch_size=0", "--fp16"])
    first, *lines = str(refused.value).splitlines()
    assert first == "7 things in this config are not possible:"
    words = ("--fp16", "Unknown key foo", "lr = -1", "lr_steps", "r5O", "batch_size = 0", "warm-up must end")
    assert [word for word in words if not any(word in line for line in lines)] == []
    assert len(lines) == 7


def test_a_file_of_ours_has_no_notice(tmp_path: Path) -> None:
    assert read_config(write(tmp_path / "mine.py", {"lr": 0.5, "ofrecord_path": "x"})).notice == ""


@pytest.mark.parametrize(
    "stray",
    [
        *({"using_wandb": True}, {"suffix_run_name": "a"}, {"save_artifacts": True}, {"wandb_log_all": True}),
        *({"notes": "mine"}, {"shuffle": True}, {"head": "cosface"}, {"learning_rate": 0.5}, {"num_nodes": 1}),
    ],
)
def test_keys_of_anybodys_make_no_file_insightface_s(stray: dict, tmp_path: Path) -> None:
    loaded = read_config(write(tmp_path / "mine.py", {"ofrecord_path": "x", "num_image": 5000, **stray}))
    assert (loaded.cfg.lr_power, loaded.cfg.margin_gradient) == (2, "exact")
    assert "InsightFace" not in loaded.notice


def test_an_unknown_wandb_key_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Unknown key wandb_projekt .*did you mean wandb_project\?"):
        load_config(write(tmp_path / "mine.py", {"rec": "x", "wandb_projekt": "k"}))
    with pytest.raises(UserError, match=r"Key step .* is not used here: write lr_schedule"):
        load_config(write(tmp_path / "mine.py", {"ofrecord_path": "x", "step": [1]}))


def test_parts_lie_in_train_and_sets_beside_them(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", {"dataset": "a", "ofrecord_path": "faces/", "num_classes": 10})
    train = tmp_path / "faces" / "train"
    train.mkdir(parents=True)
    (train / "part-0").touch()
    loaded = read_config(path)
    assert (loaded.cfg.ofrecord_path, loaded.cfg.val_path) == (str(train), str(tmp_path / "faces"))
    assert f"index its parts: python tools/index_ofrecord.py {train} --num_classes 10" in loaded.notice
    assert read_config(path, ["val_path=a", "ofrecord_path=b"]).cfg.ofrecord_path == "b"
    (train / "dataset.json").write_text('{"num_classes": 12, "num_records": 4999}')
    loaded = read_config(path)
    assert loaded.cfg.num_classes == 12
    assert "missing" not in loaded.notice
    (tmp_path / "faces" / "part-0").touch()
    assert load_config(path).ofrecord_path == str(tmp_path / "faces")


@pytest.mark.parametrize("folder", [".", "configs"])
def test_relative_paths_of_theirs_begin_where_they_start_programs(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated = {"rec": "../faces", "pretrained": "a.safetensors", "output": "r50", "val_path": "/bins"}
    path = write(tmp_path / "theirs" / folder / "mine.py", stated)
    for cwd, tool, output in ((REPO, "tools", ""), (tmp_path, f"{REPO}/tools", f"{REPO}/")):
        monkeypatch.chdir(cwd)
        loaded = read_config(path)
        assert loaded.cfg.ofrecord_path == f"{tmp_path}/faces/ofrecord"
        assert loaded.cfg.pretrained == f"{tmp_path}/theirs/a.safetensors"
        assert loaded.cfg.output == f"{output}work_dirs/r50"
        assert loaded.cfg.val_path == "/bins"
        assert f"python {tool}/mx_recordio_2_ofrecord.py --data_dir {tmp_path}/faces " in loaded.notice
    write(path, {"rec": "x", "output": "work_dirs/a"})
    assert load_config(path).output == f"{REPO}/work_dirs/a"


@pytest.mark.parametrize("rec", [["x"], 5, "", "/a\0b"])
def test_values_that_mean_nothing_are_findings(rec: object, tmp_path: Path) -> None:
    stated = {"rec": rec, "partial_fc": "x", "sample_rate": 0.1, "learning_rate": 0.2, "lr": 0.1}
    with pytest.raises(UserError) as refused:
        load_config(write(tmp_path / "mine.py", stated))
    first, *lines = str(refused.value).splitlines()
    assert first == "3 things in this config are not possible:"
    words = (f"rec = {rec!r} in", "partial_fc = 'x' in", "learning_rate = 0.2 and lr = 0.1 in")
    assert [word for word in words if not any(word in line for line in lines)] == []


@pytest.mark.parametrize("path", ["a\0b", 5])
def test_a_path_that_none_can_be_is_a_finding(path: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ofrecord_path = .* is not possible: it must be a path, or None"):
        load_config(write(tmp_path / "mine.py", {"dataset": "a", "ofrecord_path": path}))


def test_one_rate_by_two_names_is_possible(tmp_path: Path) -> None:
    path = write(tmp_path / "job.py", {"rec": "x", "learning_rate": 0.25, "lr": 0.25})
    assert load_config(path).lr == 0.25
    write(tmp_path / "base.py", {"lr": 0.5})
    write(path, {"rec": "x", "learning_rate": 0.25})
    assert load_config(path).lr == 0.25


def test_arrays_are_lists_of_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", {"dataset": "a", "ofrecord_path": "x"})
    path.write_text(f"import numpy as np\n{path.read_text()}config.decay_epoch = np.array([10, 16])\n")
    cfg = load_config(path)
    assert (cfg.decay_epoch, cfg.lr_schedule) == ((10.0, 16.0), "multistep")


@pytest.mark.parametrize("count", ["x", -1, 0, 1, None, [1], 1.5])
def test_a_damaged_dataset_is_not_the_config_s_fault(count: object, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", {"rec": str(tmp_path), "num_classes": 10})
    (tmp_path / "dataset.json").write_text(json.dumps({"num_classes": count, "num_records": 5000}))
    assert load_config(path).num_classes == 10


def test_a_rate_of_0_says_how_many_centers_it_takes(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", {"rec": "x", "sample_rate": 0, "batch_size": 100, "num_classes": 100_000})
    loaded = read_config(path)
    for ranks, share in ((1, "0.1%"), (8, "6.4%")):
        sampler = ClassSampler(100_000, ranks, 0, loaded.cfg.sample_rate, 100 * ranks, seed=0)
        assert share == f"{sum(sampler.counts) / 100_000:.1%}"
        assert f"{share} of all with NPROC={ranks}" in loaded.notice
    few = read_config(path, ["num_classes=50"])
    assert "(100.0% of all with NPROC=1, 100.0% of all with NPROC=8)" in few.notice
    assert "as the global batch has images; " in read_config(path, ["num_classes=None"]).notice
