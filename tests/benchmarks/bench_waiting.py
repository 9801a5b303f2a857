"""How long the steps of a run wait for its loader. Not a test:

    python -m tests.benchmarks.bench_waiting [--ranks 2] [--steps 20] [CONFIG] [overrides]

Trains as train.py does, with the configuration's own loader (default: `demo network=r18`, whose faces
./train_graph_distributed.sh draws), but neither verifies nor saves. Counts, on each rank, the time that the loop stood
in the loader's `next` from the third step on: the loader starts with the first, which also compiles.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from data.batch import Batch
from tests.ranks import ROOT, launch_command, rank_environment

_MARK = "WAITED "
_WARM_UP = 2


class _Enough(Exception):
    pass


class TimedLoader:
    """A loader whose `next` is timed: `waits` in seconds."""

    def __init__(self, loader) -> None:
        self._loader, self.waits = loader, []

    def __getattr__(self, name: str):
        return getattr(self._loader, name)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        batches = self._loader.batches(start, stop)
        while True:
            begin = time.perf_counter()
            batch = next(batches, None)
            self.waits.append(time.perf_counter() - begin)
            if batch is None:
                return
            yield batch


class Stopwatch:
    """A hook that ends the run after `steps` steps; `ends` is when each was launched."""

    def __init__(self, steps: int) -> None:
        self._steps, self.ends = steps, []

    def on_start(self, trainer) -> None:
        pass

    def after_step(self, trainer) -> None:
        self.ends.append(time.perf_counter())
        if trainer.step >= self._steps:
            trainer.in_flight.wait()
            self.ends.append(time.perf_counter())
            raise _Enough


def work(steps: int, config: list[str]) -> None:
    """One rank."""
    from utils.config import load_config
    from utils.cpu import choose_blas_kernels

    cfg = load_config(config[0], config[1:])
    choose_blas_kernels(os.environ)
    from engine.trainer import Trainer
    from native.library import with_kernels
    from train import build_loader
    from utils.cpu_wait import sleep_while_waiting
    from utils.runtime import start_runtime

    runtime, missing = with_kernels(start_runtime(cfg.device))
    if missing:
        sys.exit(missing)
    sleep_while_waiting()
    loader = TimedLoader(build_loader(cfg, runtime))
    trainer = Trainer(cfg, runtime, lambda _: loader)
    trainer.start_from(None, None)
    watch = Stopwatch(_WARM_UP + steps)
    with contextlib.suppress(_Enough):
        trainer.fit([watch])
    waits = loader.waits[_WARM_UP + 1 :]  # the loop looks one batch ahead
    result = {"seconds": watch.ends[-1] - watch.ends[_WARM_UP - 1], "waited": sum(waits), "longest": max(waits)}
    result["images"] = steps * cfg.batch_size
    print(_MARK + json.dumps(result), flush=True)


def main() -> None:
    """Run the ranks and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20, help="that are timed, after two to warm up")
    parser.add_argument("config", nargs="*", default=["demo", "network=r18"])
    arguments = parser.parse_args()
    worker = ["--worker", str(arguments.steps), *arguments.config]
    command = launch_command(arguments.ranks, str(Path(__file__).relative_to(ROOT)), *worker)
    done = subprocess.run(
        command, cwd=ROOT, env=rank_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    results = [json.loads(line.split(_MARK)[1]) for line in done.stdout.splitlines() if _MARK in line]
    if done.returncode or len(results) != arguments.ranks:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout[-4000:]}")
    for rank in results:
        print(
            f"{rank['images']} images in {rank['seconds']:.1f} s; waited for the loader {rank['waited'] * 1e3:.1f} ms "
            f"({rank['waited'] / rank['seconds']:.2%}), {rank['longest'] * 1e3:.2f} ms at most in a step"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(int(sys.argv[2]), sys.argv[3:])
    else:
        main()
