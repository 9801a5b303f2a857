"""Every run file of the repository loads, and reads back from its own dump."""

from pathlib import Path

import pytest
from easydict import EasyDict

from utils.config import dump_config, load_config

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
RUNS = sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem not in ("__init__", "base"))

# images, classes as InsightFace publishes them
SIZES = {
    "ms1mv3": (5179510, 93431),
    "glint360k": (17091657, 360232),
    "emore": (5822653, 85742),
    "webface42m": (42474557, 2059906),
}


def test_the_promised_runs_are_there() -> None:
    networks = ("r18", "r34", "r50", "r100", "mbf")
    expected = {"demo", "synthetic", "emore_r100", "speed_r50", "speed_mbf", "speed_head"}
    expected |= {f"{dataset}_{network}" for dataset in ("ms1mv3", "glint360k") for network in networks}
    expected |= {f"webface42m_{network}_pfc02" for network in ("r50", "r100", "mbf")}
    assert set(RUNS) == expected


@pytest.mark.parametrize("run", RUNS)
def test_loads_and_reads_back_from_its_dump(run: str, tmp_path: Path) -> None:
    cfg = load_config(run)
    assert isinstance(cfg, EasyDict)
    assert cfg.output == f"work_dirs/{run}"
    dumped = tmp_path / "config.py"
    dumped.write_text(dump_config(cfg))
    assert load_config(dumped) == cfg


@pytest.mark.parametrize("run", [run for run in RUNS if run.split("_")[0] in SIZES])
def test_published_recipe(run: str) -> None:
    cfg = load_config(run)
    dataset, network, *partial = run.split("_")
    assert (cfg.num_image, cfg.num_classes) == SIZES[dataset]
    assert cfg.network == network
    assert cfg.loss == ("arcface" if dataset in ("ms1mv3", "emore") else "cosface")
    assert cfg.sample_rate == (0.2 if partial else 1.0)
    assert cfg.num_epoch == (40 if run == "ms1mv3_mbf" else 20)
    assert cfg.weight_decay == (1e-4 if dataset == "glint360k" or network == "mbf" else 5e-4)
    assert cfg.val_targets == ("lfw", "cfp_fp", "agedb_30")


@pytest.mark.parametrize("run", RUNS)
def test_a_copy_elsewhere_is_the_same_run(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / f"{run}.py"
    copy.write_bytes((CONFIGS / f"{run}.py").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert load_config(run) == load_config(CONFIGS / f"{run}.py")
