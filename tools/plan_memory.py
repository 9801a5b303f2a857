"""Predict the memory that training a config takes, by part, and how many identities would fit.

python tools/plan_memory.py ms1mv3_r50 num_classes=1000000 --gpu_memory 32GiB --host_memory 256GiB --ranks 8
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from planning.memory import parse_bytes, show_bytes, total
from utils.cli import run_cli
from utils.config import load_config
from utils.errors import UserError


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a file or its bare name, such as speed_head")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="keys of the config, set for this plan"
    )
    parser.add_argument("--gpu_memory", metavar="SIZE", help="memory of one card, such as 32GiB; plans for cards")
    parser.add_argument(
        "--host_memory", metavar="SIZE", help="memory of the machine all ranks share; default: this one's"
    )
    parser.add_argument("--ranks", type=int, help="ranks of the run, on one machine; default: 8 on cards, 2 on a CPU")
    args = parser.parse_intermixed_args(arguments)
    cfg = load_config(args.config, args.overrides)
    device = "cuda" if args.gpu_memory and cfg.device == "auto" else cfg.device.replace("auto", "cpu")
    if device == "cuda" and not args.gpu_memory:
        raise UserError('device = "cuda" needs --gpu_memory, the memory of one card, such as --gpu_memory 32GiB')
    ranks = (8 if device == "cuda" else 2) if args.ranks is None else args.ranks
    if ranks < 1:
        raise UserError(f"--ranks {ranks} is not possible: there must be at least one")
    host = parse_bytes(args.host_memory) if args.host_memory else total()
    card = parse_bytes(args.gpu_memory) if args.gpu_memory else 0

    os.environ.setdefault("GLOG_minloglevel", "3")
    from data.manifest import Manifest
    from planning.options import MemoryLimit, Planner

    classes = cfg.num_classes or Manifest.load(Path(cfg.ofrecord_path)).num_classes
    planner, limit = Planner(cfg, ranks, device), MemoryLimit(host // ranks, card)
    predicted = planner.predict(classes)
    where = f"{ranks} {device} rank(s), {cfg.batch_size} images each"
    print(f"{cfg.network}, {classes:,} identities, sample_rate={cfg.sample_rate}, {where}\n")
    _table("On the host, per rank" if device == "cuda" else "Per rank", predicted.host, predicted.host_total)
    if device == "cuda":
        _table("On the card", predicted.card, predicted.card_total)
    if predicted.files:
        print(f"In files that all ranks share: {show_bytes(predicted.files)}\n")

    per_rank = f"{show_bytes(card)} of each card and " if device == "cuda" else ""
    print(f"With {per_rank}{show_bytes(limit.host)} of host memory for each rank there is room for")
    print(f"  {planner.most_classes(limit):>17,} identities as configured")
    suggested = None
    for head in planner.options():
        fits = limit.holds(planner.predict(classes, **head))
        suggested = suggested or (head if fits else None)
        words = " ".join(f"{key}={value}" for key, value in head.items())
        print(f"  {planner.most_classes(limit, **head):>17,} identities with {words}")
    if suggested:
        print(f"\nSuggested for {classes:,}: " + " ".join(f"{key}={value}" for key, value in suggested.items()))
        files = planner.predict(classes, **suggested).files
        if files:
            print(f"It needs {show_bytes(files)} of disk.")
    else:
        print(f"\n{classes:,} identities do not fit; use more ranks, a smaller batch_size, or more memory")
    print("Not counted: what verifying and saving take for a moment.")
    if device == "cuda":
        print("Figures for cards are calculated, and were not checked on one; leave a tenth of the memory free.")
    if not cfg.graph:
        print("This is the compiled step's memory; the eager step (graph=False) was not modeled.")


def _table(title: str, parts: dict[str, int], everything: int) -> None:
    print(title)
    for part, size in sorted(parts.items(), key=lambda item: -item[1]):
        if size >= 2**19:
            print(f"  {part:<28} {show_bytes(size):>10}")
    print(f"  {'total':<28} {show_bytes(everything):>10}\n")


if __name__ == "__main__":
    run_cli(main)
