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
    "casia": (490623, 10572),
    "vgg2": (3137807, 8631),
}
# Other runs that the field publishes: loss, weight decay, epochs and those after which the rate falls.
MAGFACE, ADAFACE = (5e-4, 25, (10, 18, 22)), (1e-4, 26, (12, 20, 24))
RECIPES = {
    "casia_r18_magface": ("magface", *MAGFACE),
    "emore_r50_magface": ("magface", *MAGFACE),
    "emore_r100_magface": ("magface", *MAGFACE),
    "emore_r50_magcosface": ("magcosface", *MAGFACE),
    "emore_r50_magface_finetune": ("magface(l_a=1, u_a=51, l_m=0.45, u_m=1, lambda_g=5)", 5e-4, 10, (5, 8)),
    "casia_r50_adaface": ("adaface", *ADAFACE),
    "vgg2_r18_adaface": ("adaface", *ADAFACE),
    "emore_r50_adaface": ("adaface", *ADAFACE),
    "emore_r100_adaface": ("adaface", *ADAFACE),
    "emore_r100_curricularface": ("curricularface", 5e-4, 24, (10, 18, 22)),
    "casia_r34_subcenter": ("arcface", 5e-4, 40, (20, 30)),
    "casia_mbf_distill512": ("arcface + 128 * distillation", 5e-4, 40, (20, 30)),
    "casia_mbf_distill256": ("arcface + 128 * distillation", 5e-4, 40, (20, 30)),
}
# Vision Transformers on WebFace42M: network, images of a rank, share of the class centers, epochs, of warm-up, and the
# power by which the rate falls.
VITS = {
    "vit_t_pfc03": ("vit_t_dp005_mask0", 512, 0.3, 40, 4, 1),
    "vit_s_pfc03": ("vit_s_dp005_mask_0", 384, 0.3, 40, 4, 1),
    "vit_b_pfc03": ("vit_b_dp005_mask_005", 384, 0.3, 40, 4, 1),
    "vit_l_pfc03": ("vit_l_dp005_mask_005", 384, 0.3, 40, 4, 1),
    "vit_h_pfc05": ("vit_h(drop_path=0.1)", 768, 0.5, 16, 2, 1),
    "vit_t_pfc03_plsc": ("vit_t_dp005_mask0", 256, 0.3, 40, 4, 2),
    "vit_b_pfc03_plsc": ("vit_b_dp005_mask_005", 256, 0.3, 40, 4, 2),
}


def test_the_promised_runs_are_there() -> None:
    networks = ("r18", "r34", "r50", "r100", "mbf")
    expected = {"demo", "synthetic", "emore_r100", "speed_r50", "speed_mbf", "speed_head"}
    expected |= {f"{dataset}_{network}" for dataset in ("ms1mv3", "glint360k") for network in networks}
    expected |= {f"webface42m_{network}_pfc02" for network in ("r50", "r100", "mbf")}
    expected |= {*RECIPES, "casia_r34_keras", "casia_mobilenet_keras", "casia_clean_r34"} | {
        f"webface42m_{run}" for run in VITS
    }
    assert set(RUNS) == expected


@pytest.mark.parametrize("run", RUNS)
def test_loads_and_reads_back_from_its_dump(run: str, tmp_path: Path) -> None:
    cfg = load_config(run)
    assert isinstance(cfg, EasyDict)
    assert cfg.output == f"work_dirs/{run}"
    dumped = tmp_path / "config.py"
    dumped.write_text(dump_config(cfg))
    assert load_config(dumped) == cfg


@pytest.mark.parametrize("run", RECIPES)
def test_recipes_of_the_field(run: str) -> None:
    cfg, (loss, decay, epochs, falls) = load_config(run), RECIPES[run]
    dataset, network, *_ = run.split("_")
    assert (cfg.network, cfg.loss, cfg.weight_decay) == (network, loss, decay)
    assert (cfg.num_image, cfg.num_classes) == SIZES[dataset]
    assert (cfg.batch_size * 8, cfg.num_epoch, cfg.decay_epoch, cfg.lr_schedule) == (512, epochs, falls, "multistep")
    assert cfg.centers_per_class == (3 if "subcenter" in run else 1)
    assert cfg.embedding_size == (256 if run.endswith("256") else 512)


@pytest.mark.parametrize("run", VITS)
def test_vision_transformers(run: str) -> None:
    cfg = load_config(f"webface42m_{run}")
    settings = cfg.network, cfg.batch_size, cfg.sample_rate, cfg.num_epoch, cfg.warmup_epoch, cfg.lr_power
    assert settings == VITS[run]
    assert (cfg.num_image, cfg.num_classes) == SIZES["webface42m"]
    assert (cfg.loss, cfg.optimizer, cfg.lr, cfg.weight_decay, cfg.clip_grad_norm) == ("cosface", "adamw", 1e-3, 0.1, 5)


@pytest.mark.parametrize(
    "run", [run for run in RUNS if run.split("_")[0] in SIZES and len(run.removesuffix("_pfc02").split("_")) == 2]
)
def test_arcface_torchs_recipe(run: str) -> None:
    cfg = load_config(run)
    dataset, network = run.removesuffix("_pfc02").split("_")
    assert (cfg.num_image, cfg.num_classes) == SIZES[dataset]
    assert cfg.network == network
    assert cfg.loss == ("arcface" if dataset in ("ms1mv3", "emore") else "cosface")
    assert cfg.sample_rate == (0.2 if run.endswith("_pfc02") else 1.0)
    assert cfg.num_epoch == (40 if run == "ms1mv3_mbf" else 20)
    assert cfg.weight_decay == (1e-4 if dataset == "glint360k" or network == "mbf" else 5e-4)
    assert cfg.val_targets == ("lfw", "cfp_fp", "agedb_30")


@pytest.mark.parametrize("run", RUNS)
def test_a_copy_elsewhere_is_the_same_run(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / f"{run}.py"
    copy.write_bytes((CONFIGS / f"{run}.py").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert load_config(run) == load_config(CONFIGS / f"{run}.py")
