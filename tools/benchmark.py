"""Measure speed and memory of training steps against identities, sample rates and ranks, on synthetic data.

python -m tools.benchmark speed_head --classes 10000,1000000 --sample_rates 1.0,0.1 --ranks 2 --out work_dirs/speed.json

Each point is a run in fresh processes: some steps to warm up, then the median step, of the slowest rank. Memory is the
most that a process had of its own, without the pages of libraries, or on cards what nvidia-smi says. The head's share
is what the step takes longer than one of the backbone alone (same images and optimizer, the squared embeddings as
loss), timed in the same processes right afterwards. Beside FILE.json comes FILE.svg, a plot.
"""

import argparse
import json
import os
import sys
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from planning.measure import OutOfMemory, measure
from planning.memory import parse_bytes
from planning.report import machine, plot, table
from utils.cli import numbers_above_0, run_cli
from utils.config import load_config
from utils.config.file import find_config
from utils.errors import UserError
from utils.progress import Bar, write_above


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a file or its bare name, such as speed_head")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="keys of the config, set for all points"
    )
    parser.add_argument("--classes", default="10000,100000,1000000", help="numbers of identities (%(default)s)")
    parser.add_argument("--sample_rates", default="1.0,0.1", help="shares of the centers in a step (%(default)s)")
    parser.add_argument("--ranks", default="1,2", help="numbers of processes (%(default)s)")
    parser.add_argument("--batch_size", type=int, help="images per rank; default: the config's")
    parser.add_argument("--steps", type=int, default=10, help="timed steps of a point (%(default)s)")
    parser.add_argument("--warmup", type=int, default=3, help="steps before (%(default)s)")
    parser.add_argument("--memory", metavar="SIZE", help="what a rank may hold; default: until the machine is full")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="where to write the figures")
    args = parser.parse_intermixed_args(arguments)
    if args.steps < 1 or args.warmup < 1:
        raise UserError("--steps and --warmup must be at least 1: the first step includes compiling")
    if args.out and args.out.suffix != ".json":
        raise UserError(f"--out {args.out} must end in .json")
    grid = [
        {"ranks": ranks, "sample_rate": rate, "classes": classes}
        for ranks, rate, classes in product(
            numbers_above_0("ranks", args.ranks, int),
            numbers_above_0("sample_rates", args.sample_rates, float),
            numbers_above_0("classes", args.classes, int),
        )
    ]
    overrides = [*args.overrides, *([f"batch_size={args.batch_size}"] if args.batch_size else [])]
    runs = [[*overrides, f"num_classes={point['classes']}", f"sample_rate={point['sample_rate']}"] for point in grid]
    for run in runs:  # a mistake is reported before the first run
        cfg = load_config(args.config, [*run, "synthetic=True", "num_image=100000000"])
    limit = parse_bytes(args.memory) if args.memory else None

    os.environ.setdefault("GLOG_minloglevel", "3")
    report = {"config": args.config, "overrides": overrides, "network": cfg.network, "batch_size": cfg.batch_size}
    report |= {"steps": args.steps, "warmup": args.warmup, "machine": machine(), "points": []}
    title = f"{cfg.network}, {cfg.batch_size} images per rank"
    print(f"{title}; {report['machine']['cpu']}, {report['machine']['cores']} cores", flush=True)
    for point, run in Bar(list(zip(grid, runs, strict=True)), desc="Measuring", unit="points", leave=False):
        measured = measure(
            find_config(args.config), run, point["ranks"], args.steps, args.warmup, backbone=True, limit=limit
        )
        if isinstance(measured, OutOfMemory):
            point |= {"out_of_memory": measured.reason, "memory_bytes": measured.peak}
        else:
            images = cfg.batch_size * cfg.gradient_acc * point["ranks"]
            point |= {"images_per_second": images / measured.step_seconds, "step_ms": measured.step_seconds * 1e3}
            point |= {"head_share": measured.head_share, "memory_bytes": measured.card or measured.peak}
            point |= {"host_memory_bytes": measured.peak, "device": measured.device}
        report["points"].append(point)

        write_above(table([point]) if point is grid[0] else table([point]).splitlines()[-1])
        if args.out:  # after each point, so that a run that is stopped keeps what it has
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(report, indent=1) + "\n")
            args.out.with_suffix(".svg").write_text(plot(title, report["points"]))
    if args.out:
        print(f"\n{args.out}, {args.out.with_suffix('.svg')}")


if __name__ == "__main__":
    run_cli(main)
