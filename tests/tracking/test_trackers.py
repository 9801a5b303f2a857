"""Weights & Biases and MLflow without a network: what they are given, and what is said without their packages."""

import importlib.util
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tracking import run_ids
from tracking.mlflow_run import MlflowRun
from tracking.packages import check_trackers
from tracking.records import Records
from tracking.run_ids import keep_id, known_id
from utils.config import dump_config, format_config, load_config
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
LOGGER = logging.getLogger("trackers")
KEY = "0123456789abcdef0123456789abcdef01234567"
with_wandb = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="./setup.sh trackers installs it")
with_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="./setup.sh trackers installs it")


def config(*overrides):
    return load_config("synthetic", ["num_classes=10", "num_image=100", *overrides])


def log(output, first, writer, steps, state="complete", model=None):
    records = Records(output, first, [writer], LOGGER)
    records.describe({"config": [["lr", "0.1", False], ["network", "'r50'", True]], "total_steps": 4})
    records.pictures("phase-1", first + 1, np.zeros((2, 8, 8, 3), np.uint8))
    for step in steps:
        records.add(step, {"train/loss": 1 / step})
    records.close(state, model=model)


@with_mlflow
def test_mlflow_in_a_file(tmp_path, caplog):
    from mlflow import MlflowClient

    model = tmp_path / "best"
    model.mkdir()
    (model / "backbone.safetensors").write_bytes(b"weights")
    cfg = config("save_artifacts=True", "mlflow_experiment=faces")
    with caplog.at_level(logging.INFO, "trackers"):
        log(tmp_path, 0, MlflowRun(tmp_path, 0, cfg, LOGGER), [1, 2], "stopped")
        log(tmp_path, 2, MlflowRun(tmp_path, 2, cfg, LOGGER), [3, 4], model=model)
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert caplog.messages == [f"MLflow: mlflow ui --backend-store-uri {database}"] * 2
    client = MlflowClient(tracking_uri=database)
    (run,) = client.search_runs([client.get_experiment_by_name("faces").experiment_id])  # one, though resumed
    assert run.info.run_name == tmp_path.name and run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1", "network": "'r50'"}
    metrics = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(each.step, each.value) for each in metrics] == [(step, 1 / step) for step in range(1, 5)]
    files = client.list_artifacts(run.info.run_id, "backbone")
    assert [each.path for each in files] == ["backbone/backbone.safetensors"]


@with_mlflow
def test_mlflow_has_no_step_twice_though_a_run_goes_back(tmp_path):
    from mlflow import MlflowClient

    cfg = config()
    log(tmp_path, 0, MlflowRun(tmp_path, 0, cfg, LOGGER), [1, 2, 3], "failed")
    old = known_id(tmp_path, "mlflow")
    log(tmp_path, 2, MlflowRun(tmp_path, 2, cfg, LOGGER), [3, 4])
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    new = client.get_run(known_id(tmp_path, "mlflow"))
    assert new.info.run_id != old and new.data.tags["resumed_from"] == old and new.data.params["lr"] == "0.1"
    for run_id, steps in ((old, [1, 2, 3]), (new.info.run_id, [3, 4])):
        assert [each.step for each in client.get_metric_history(run_id, "train/loss")] == steps
    assert client.get_run(old).info.status == "FAILED"


@with_wandb
def test_wandb_offline(tmp_path):
    """In a process of its own: W&B starts another and changes this one's hooks."""
    code = (
        "import logging, sys\nfrom pathlib import Path\n"
        "from tests.tracking.test_trackers import config, log\nfrom tracking.wandb_run import WandbRun\n"
        "logging.basicConfig(level=logging.INFO, format='%(message)s', stream=sys.stdout)\n"
        f"cfg, output = config('wandb_project=faces', 'suffix_run_name=x', 'wandb_key={KEY}'), Path(sys.argv[1])\n"
        "log(output, 0, WandbRun(output, 0, cfg, logging.getLogger('trackers')), [1, 2])\n"
        "log(output, 1, WandbRun(output, 1, cfg, logging.getLogger('trackers')), [2, 3])\n"
    )
    environment = {**os.environ, "WANDB_MODE": "offline", "HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0 and "could not be written" not in done.stdout, done.stdout + done.stderr
    folder, resumed = sorted((tmp_path / "wandb").glob("offline-run-*"), key=os.path.getmtime)
    assert f"wandb sync {folder}" in done.stdout
    (data,) = folder.glob("*.wandb")
    content = data.read_bytes()
    for words in (b"train/loss", b"faces", f"{tmp_path.name}_x".encode(), b"'r50'"):
        assert words in content
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert not kept
    first = data.stem.removeprefix("run-")
    assert known_id(tmp_path, "wandb") not in (None, first)
    (data,) = resumed.glob("*.wandb")
    assert b"resumed_from" in data.read_bytes() and first.encode() in data.read_bytes()


def test_no_file_shows_a_key():
    cfg = config(f"wandb_key={KEY}")
    assert cfg.wandb_key == KEY and KEY not in dump_config(cfg) + format_config(cfg)
    assert "(set, and not shown)" in format_config(cfg)


@pytest.mark.parametrize(("key", "package"), [("using_wandb", "wandb"), ("using_mlflow", "mlflow")])
def test_a_package_that_is_missing_is_named(monkeypatch, key, package):
    check_trackers(config())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"{key}=True needs the package {package}; ./setup.sh trackers"):
        check_trackers(config(f"{key}=True"))


def test_ids_are_kept_though_trackers_begin_at_once(tmp_path, monkeypatch):
    def read_slowly(output):
        ids = read(output)
        time.sleep(0.2)
        return ids

    read = run_ids._read
    monkeypatch.setattr(run_ids, "_read", read_slowly)
    threads = [threading.Thread(target=keep_id, args=(tmp_path, name, name[:1])) for name in ("wandb", "mlflow")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (known_id(tmp_path, "wandb"), known_id(tmp_path, "mlflow")) == ("w", "m")


def test_ids_are_kept_by_tracker(tmp_path):
    keep_id(tmp_path, "wandb", "a")
    keep_id(tmp_path, "mlflow", "b")
    keep_id(tmp_path, "wandb", "c")
    assert (known_id(tmp_path, "wandb"), known_id(tmp_path, "mlflow")) == ("c", "b")
    (tmp_path / "trackers.json").write_text("[")
    assert known_id(tmp_path, "wandb") is None
