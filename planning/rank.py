"""One rank of a measured run; started by `planning.measure` through the launcher with a file that says what to do.

It trains a few steps of a config on synthetic data and writes what it saw to rank-N.json beside that file.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.upcoming import with_upcoming
from launch.rendezvous import wait_for_first_rank
from planning.memory import held, own_bytes
from utils.cli import run_cli
from utils.config import load_config
from utils.config.rules import teacher_in_step, uses_teacher
from utils.cpu import choose_blas_kernels


def main(arguments: list[str]) -> None:
    orders = json.loads(Path(arguments[0]).read_text())
    os.chdir(orders["folder"])
    cfg = load_config(orders["config"], orders["overrides"])
    if cfg.cpu_kernels:
        choose_blas_kernels(os.environ)
    wait_for_first_rank(os.environ)

    from data.loader import SyntheticLoader
    from engine.network import image_shape
    from engine.trainer import Trainer
    from launch.gpu import usable_cards
    from native.library import with_kernels
    from utils.cpu_wait import sleep_while_waiting
    from utils.runtime import start_runtime

    usable, _ = usable_cards(os.environ.get("CUDA_VISIBLE_DEVICES"))
    runtime = start_runtime(cfg.device, bool(usable))
    if cfg.cpu_kernels and runtime.device == "cpu":  # as train.py does
        runtime, _ = with_kernels(runtime)
    figures = {"device": runtime.device, "base": own_bytes(held()), "resident": []}
    batch = cfg.batch_size * cfg.gradient_acc
    teacher = cfg.embedding_size if uses_teacher(cfg) and not teacher_in_step(cfg) else None
    loader = SyntheticLoader(
        cfg.num_classes, cfg.num_image, batch, runtime.rank, runtime.ranks, cfg.seed, teacher, image_shape(cfg)
    )
    trainer = Trainer(cfg, runtime, lambda _: loader)
    if cfg.cpu_kernels and runtime.device == "cpu" and cfg.graph:
        sleep_while_waiting()
    trainer.start_from(None, None)
    assert trainer.store is not None
    trainer.store.make_resident()
    steps = list(loader.batches(0, orders["warmup"] + orders["steps"]))
    figures["seconds"] = _run(trainer.train_step, steps, figures)[orders["warmup"] :]
    figures["peak"], figures["files"] = held()["VmHWM"], held()["RssFile"]
    figures["card"] = _card_memory() if runtime.device == "cuda" else None
    if orders["backbone"]:
        alone = _backbone_alone(trainer, cfg, runtime)
        figures["backbone_seconds"] = _run(alone, steps, figures)[orders["warmup"] :]
    Path(arguments[0]).with_name(f"rank-{runtime.rank}.json").write_text(json.dumps(figures))
    # It ends as OneFlow does, which has the ranks wait for each other: one that is gone first takes the others with it.


def _run(train_step, steps: list, figures: dict) -> list[float]:
    """Seconds of each step, until its loss has been read."""
    seconds = []
    for batch, upcoming in with_upcoming(steps):
        start = time.perf_counter()
        train_step(batch, upcoming)["loss"].to_local().numpy()
        seconds.append(time.perf_counter() - start)
        figures["resident"].append(own_bytes(held()))
    return seconds


def _backbone_alone(trainer, cfg, runtime):
    """The same step without a head: its loss is the mean of the squared embeddings."""
    from oneflow import nn

    from backbones.pixels import Pixels
    from engine.eager import EagerStep
    from engine.graph import GraphStep
    from engine.model import Classifier
    from engine.network import configured_segments, image_shape
    from optim import configured_optimizer
    from optim.parameters import ParameterRules

    class NoHead(nn.Module):
        def forward(self, embedding, labels, state, random):
            loss = (embedding * embedding).mean()
            return loss, {"losses": {"loss": loss}, "state": {}, "results": {}}

    for parameter in trainer.backbone.parameters():
        parameter.grad = None  # the first graph's, to which a second one could not add
    optimizer = configured_optimizer(cfg)
    rules = ParameterRules.from_config(cfg, optimizer.weight_decay)
    model = Classifier(trainer.backbone, NoHead(), pixels=Pixels(image_shape(cfg).channels, cfg.data_format))
    parts = model, optimizer, rules, runtime, cfg.clip_grad_norm, cfg.gradient_acc
    again = configured_segments(cfg, trainer.backbone)
    step = GraphStep(*parts, cfg.fp16, bool(cfg.fused_ops), again) if cfg.graph else EagerStep(*parts)
    counter = itertools.count()

    def train(batch, _) -> dict:
        number = next(counter)
        drawn = model.draws.draw(cfg.seed, number, batch.records)
        return step.run(batch.images, batch.labels, {}, drawn, trainer.phase.rate(number))["losses"]

    return train


def _card_memory() -> int | None:
    """Bytes of the card that this process holds, as nvidia-smi says; None where it does not."""
    command = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
        used = dict(line.split(", ") for line in lines)
        return int(used[str(os.getpid())]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None


if __name__ == "__main__":
    run_cli(main, hard_exit=True)
