"""Loading and merging: the layers of a config, the files it comes from, and how it is written."""

import random
import re
import sys
from pathlib import Path

import pytest

from tests.utils.config.loading import WriteConfig, load
from utils.config import dump_config, format_config, load_config
from utils.config.file import BASE_FILE, REPO, run_config_file
from utils.config.insightface_keys import FOREIGN_KEYS
from utils.config.schema import SCHEMA
from utils.errors import UserError

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
