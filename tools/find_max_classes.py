"""Find by running how many identities a config can train in so much memory, and compare it with the planner.

python tools/find_max_classes.py speed_head sample_rate=0.1 --memory 2GiB --ranks 1

Each try is a run of a few steps in fresh processes; one that runs out of memory is a result.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from planning.memory import available, parse_bytes, show_bytes
from utils.cli import run_cli
from utils.config import load_config
from utils.config.file import find_config
from utils.errors import UserError


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a file or its bare name, such as speed_head")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="keys of the config, set for these runs"
    )
    parser.add_argument(
        "--memory", metavar="SIZE", help="host memory of each rank; default: nine tenths of what is free, shared"
    )
    parser.add_argument("--ranks", type=int, default=1, help="processes of a run (%(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="steps of each try (%(default)s)")
    parser.add_argument(
        "--tolerance", type=float, default=0.02, help="how near to the limit, as a share of it (%(default)s)"
    )
    args = parser.parse_intermixed_args(arguments)
    if args.ranks < 1 or args.steps < 1 or not 0.001 <= args.tolerance < 1:
        raise UserError("--ranks and --steps must be at least 1, --tolerance from 0.001 to below 1")
    synthetic = ["synthetic=True", "num_classes=2", "num_image=100000000"]
    cfg = load_config(args.config, [*args.overrides, *synthetic])
    limit = parse_bytes(args.memory) if args.memory else int(available() * 0.9 / args.ranks)

    os.environ.setdefault("GLOG_minloglevel", "3")
    from launch.gpu import usable_cards
    from planning.measure import OutOfMemory, measure
    from planning.options import MemoryLimit, Planner
    from planning.search import largest

    on_cards = cfg.device != "cpu" and bool(usable_cards(os.environ.get("CUDA_VISIBLE_DEVICES"))[0])
    planned = None if on_cards else Planner(cfg, args.ranks, "cpu").most_classes(MemoryLimit(limit, 0))

    def holds(classes: int) -> bool:
        measured = measure(
            find_config(args.config), [*args.overrides, f"num_classes={classes}"], args.ranks, args.steps,
            limit=None if on_cards else limit,
        )  # fmt: skip
        if isinstance(measured, OutOfMemory):
            print(f"{classes:>14,} identities: no, {measured.reason} ({show_bytes(measured.peak)})", flush=True)
            return False
        print(f"{classes:>14,} identities: yes, {show_bytes(measured.card or measured.peak)}", flush=True)
        return True

    asked = "the cards" if on_cards else f"{show_bytes(limit)} for each"
    print(f"{cfg.network}, {args.ranks} rank(s), {cfg.batch_size} images each, in the memory of {asked}", flush=True)
    good, bad = largest(holds, planned or 100_000, args.tolerance, lowest=max(2, args.ranks))
    if not good:
        raise UserError(f"not even {bad:,} identities fit; use a smaller batch_size or more memory")
    print(f"\n{good:,} identities fit, {bad:,} do not")
    if planned:
        print(f"The planner says {planned:,} ({planned / good - 1:+.1%})")
    elif not on_cards:
        print("The planner says that none fit")


if __name__ == "__main__":
    run_cli(main)
