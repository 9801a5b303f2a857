"""How fast whole training steps are on a CPU, with what makes OneFlow quick there switched off and on. Not a test:

    python -m tests.benchmarks.bench_cpu_speed [--network r18 r50 mbf] [--ranks 2] [--batch 8] [--rounds 2] [--torch]

Modes: "none", OneFlow's own defaults; "haswell", its own BLAS with AVX2 kernels; "blas", `utils.cpu` alone; "waits",
also `utils.cpu_wait`; "on", also the kernels of `native/`, as training does with cpu_kernels=True. Every measurement is
a run of its own, and the modes take turns, because machines have moods. Prints img/s by the median and the best step,
CPU time per image (which other programs disturb least), peak memory, and JSON. --torch: also PyTorch's step of the same
network on as many threads, where a Python has it.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.ranks import launch_command
from tests.torch_python import find_torch_python

ROOT = Path(__file__).resolve().parents[2]
MODES = ("none", "haswell", "blas", "waits", "on")
_MARK = "MEASURED "
_WARM_UP = 2


def work(network: str, mode: str, batch: int, steps: int, graph: bool) -> None:
    """One rank: `batch` images a step; the main rank prints its result."""
    from utils.config import load_config
    from utils.cpu import choose_blas_kernels

    keys = [f"network={network}", f"batch_size={batch}", f"graph={graph}", "num_classes=10000", "device=cpu"]
    cfg = load_config("synthetic", [*keys, f"output={tempfile.gettempdir()}"])
    blas = "OneFlow's OpenBLAS as it is" if mode == "none" else "OneFlow's OpenBLAS, Haswell kernels"
    if mode == "haswell":
        os.environ["OPENBLAS_CORETYPE"] = "Haswell"
    elif mode != "none":
        blas = choose_blas_kernels(os.environ)

    from data.loader import SyntheticLoader
    from engine.trainer import Trainer
    from native.library import with_kernels
    from utils.cpu_wait import sleep_while_waiting
    from utils.runtime import start_runtime

    runtime = start_runtime("cpu")
    if mode == "on":
        runtime, missing = with_kernels(runtime)
        if missing:
            sys.exit(missing)
    loader = SyntheticLoader(cfg.num_classes, 1000, batch, rank=runtime.rank, ranks=runtime.ranks, seed=0)
    trainer = Trainer(cfg, runtime, lambda _: loader)
    if mode in ("waits", "on") and graph:
        sleep_while_waiting()
    trainer.start_from(None, None)
    walls, cpus = [], []
    for batch in loader.batches(0, _WARM_UP + steps):
        wall, cpu = time.perf_counter(), time.process_time()
        loss = trainer.train_step(batch)["loss"].to_local().numpy()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    if runtime.is_main:
        result = {"seconds": walls[_WARM_UP:], "cpu_seconds": cpus[_WARM_UP:], "blas": blas, "loss": float(loss)}
        result["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(_MARK + json.dumps(result), flush=True)


def run(network: str, mode: str, arguments: argparse.Namespace) -> dict:
    """One measurement in processes of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_CORETYPE")}
    environment |= {"GLOG_minloglevel": "2", "PYTHONPATH": str(ROOT)}
    settings = [network, mode, str(arguments.batch), str(arguments.steps), str(int(not arguments.eager))]
    command = launch_command(arguments.ranks, str(Path(__file__).relative_to(ROOT)), "--worker", *settings)
    return _result(command, environment)


def run_torch(network: str, arguments: argparse.Namespace) -> dict | None:
    """The same batch and head in PyTorch, in one process with as many threads as there are ranks."""
    python = find_torch_python()
    if python is None:
        return None
    settings = [network, str(arguments.batch * arguments.ranks), str(arguments.steps), str(arguments.ranks)]
    return _result([python, "-m", "tests.benchmarks.torch_step", *settings], dict(os.environ))


def _result(command: list[str], environment: dict[str, str]) -> dict:
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    found = [line for line in done.stdout.splitlines() if _MARK in line]
    if not found:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return json.loads(found[0].split(_MARK)[1])


def summarize(results: list[dict], images: int, processes: int) -> dict:
    """Of all rounds; `images` in a step of all ranks, of which this process's CPU time is one share."""
    seconds = [value for result in results for value in result["seconds"]]
    cpu = [value for result in results for value in result["cpu_seconds"]]
    return {
        "img_per_second": round(images / statistics.median(seconds), 2),
        "best_img_per_second": round(images / min(seconds), 2),
        "cpu_seconds_per_image": round(statistics.median(cpu) * processes / images, 4),
        "best_cpu_seconds_per_image": round(min(cpu) * processes / images, 4),
        "loss": results[-1].get("loss"),
        "blas": results[-1].get("blas"),
        "peak_gib": round(max(result.get("peak_gib", 0.0) for result in results), 2),
    }


def main() -> None:
    """Measure, print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=["r18", "r50", "mbf"])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8, help="images per rank")
    parser.add_argument("--steps", type=int, default=4, help="per measurement, after two to warm up")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each mode")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=("none", "on"))
    parser.add_argument("--eager", action="store_true", help="the eager step, not the compiled one")
    parser.add_argument("--torch", action="store_true", help="also PyTorch")
    arguments = parser.parse_args()
    images = arguments.batch * arguments.ranks
    report = {"ranks": arguments.ranks, "batch": arguments.batch, "graph": not arguments.eager, "networks": {}}
    for network in arguments.network:
        results: dict[str, list[dict]] = {}
        for _ in range(arguments.rounds):
            for mode in arguments.modes:
                results.setdefault(mode, []).append(run(network, mode, arguments))
            if arguments.torch and (found := run_torch(network, arguments)):
                results.setdefault("torch", []).append(found)
        shares = {mode: 1 if mode == "torch" else arguments.ranks for mode in results}
        table = {mode: summarize(found, images, shares[mode]) for mode, found in results.items()}
        report["networks"][network] = table
        first = table[arguments.modes[0]]
        for mode, row in table.items():
            ratio = row["img_per_second"] / first["img_per_second"]
            cpu_ratio = first["cpu_seconds_per_image"] / row["cpu_seconds_per_image"]
            print(
                f"{network:9s} {mode:6s} {row['img_per_second']:7.2f} img/s (best {row['best_img_per_second']:.2f}), "
                f"x {ratio:.2f}; {row['cpu_seconds_per_image']:.3f} CPU s/img, x {cpu_ratio:.2f}; "
                f"{row['peak_gib']} GiB a rank; {row['blas']}",
                flush=True,
            )
    print(json.dumps(report))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        name, how, rows, count, compiled = sys.argv[2:]
        work(name, how, int(rows), int(count), compiled == "1")
    else:
        main()
