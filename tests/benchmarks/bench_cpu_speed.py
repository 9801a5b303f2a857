"""How fast whole training steps are on a CPU: ours, OneFlow as it is, and PyTorch on as many cores. Not a test:

    python -m tests.benchmarks.bench_cpu_speed [--networks r18 r50 mbf] [--batch 16] [--rounds 2] [--out FILE.json]
    python -m tests.benchmarks.bench_cpu_speed --networks mbf --neighbors 2 --only ours      beside two busy processes

Each way is measured as 2 ranks of one thread and as one rank of 2 threads (on --cores 2), PyTorch also with channels
first and last. Every measurement is a run of its own, and the ways take turns, because machines have moods. Prints
img/s by the median step, CPU seconds per image (which other programs disturb least), and a process's peak memory;
writes JSON and a plot beside it. PyTorch takes part if a Python has it (tests/torch_python.py).
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.ranks import launch_command
from tests.torch_python import find_torch_python

ROOT = Path(__file__).resolve().parents[2]
OURS = {"ours": "on", "OneFlow as it is": "off"}
_MARK = "MEASURED "
_WARM_UP = 2


def work(network: str, kernels: bool, batch: int, steps: int) -> None:
    """One rank: `batch` images a step; the main rank prints its result."""
    from utils.config import load_config
    from utils.cpu import choose_blas_kernels

    keys = [f"network={network}", f"batch_size={batch}", "num_classes=10000", "device=cpu"]
    cfg = load_config("synthetic", [*keys, f"output={tempfile.gettempdir()}"])
    if kernels:
        choose_blas_kernels(os.environ)
    from data.loader import SyntheticLoader
    from engine.trainer import Trainer
    from native.library import with_kernels
    from utils.cpu_wait import sleep_while_waiting
    from utils.runtime import start_runtime

    runtime = start_runtime("cpu")
    if kernels:
        runtime, missing = with_kernels(runtime)
        if missing:
            sys.exit(missing)
        sleep_while_waiting()
    loader = SyntheticLoader(cfg.num_classes, 1000, batch, rank=runtime.rank, ranks=runtime.ranks, seed=0)
    trainer = Trainer(cfg, runtime, lambda _: loader)
    trainer.start_from(None, None)
    walls, cpus = [], []
    for rows in loader.batches(0, _WARM_UP + steps):
        wall, cpu = time.perf_counter(), time.process_time()
        trainer.train_step(rows)["loss"].to_local().numpy()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    if runtime.is_main:
        result = {"seconds": walls[_WARM_UP:], "cpu_seconds": cpus[_WARM_UP:]}
        result["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(_MARK + json.dumps(result), flush=True)


def ways(arguments: argparse.Namespace, network: str) -> dict[str, tuple[list[str], dict[str, str], int]]:
    """By name: a command, its environment, and how many processes share a batch."""
    cores, by_name = arguments.cores, {}
    for processes in dict.fromkeys((cores, 1)):
        threads = cores // processes
        share = f"{processes} x {threads}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_CORETYPE")}
        environment = inherited | {"GLOG_minloglevel": "2", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
        for name, kernels in OURS.items():
            settings = ["--worker", network, kernels, str(arguments.batch // processes), str(arguments.steps)]
            command = launch_command(processes, str(Path(__file__).relative_to(ROOT)), *settings)
            by_name[f"{name}, {share}"] = command, environment, processes
        if python := find_torch_python():
            for layout in ("first", "last"):
                counts = map(str, (arguments.batch, arguments.steps, threads, processes))
                command = [python, "-m", "tests.benchmarks.torch_step", network, *counts, layout]
                by_name[f"PyTorch, {share}, channels {layout}"] = command, environment, processes
    return by_name


def measure(command: list[str], environment: dict[str, str]) -> dict:
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    lines = [line for line in done.stdout.splitlines() if _MARK in line]
    if not lines:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return json.loads(lines[0].split(_MARK)[1])


@contextlib.contextmanager
def busy_neighbors(count: int) -> Iterator[None]:
    """So many processes that compute all the time, each with a thread."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def summarize(results: list[dict], images: int, processes: int) -> dict[str, float]:
    """Of all rounds; `images` in a step of all processes, of whose CPU time the main one's is a share."""
    seconds = [value for result in results for value in result["seconds"]]
    cpu = [value for result in results for value in result["cpu_seconds"]]
    return {
        "img_per_second": round(images / statistics.median(seconds), 2),
        "cpu_seconds_per_image": round(statistics.median(cpu) * processes / images, 4),
        "peak_gib": round(max(result["peak_gib"] for result in results), 2),
    }


def plot(report: dict[str, dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(report), figsize=(4.2 * len(report), 4), squeeze=False, layout="constrained")
    for axis, (network, table) in zip(axes[0], report.items(), strict=True):
        colors = ["C0" if name.startswith("ours") else "C7" if name.startswith("OneFlow") else "C1" for name in table]
        axis.barh(list(table), [row["img_per_second"] for row in table.values()], color=colors)
        axis.invert_yaxis()
        axis.set_title(network)
        axis.set_xlabel("img/s")
    figure.savefig(path)


def main() -> None:
    """Measure, print a table, and write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["r18", "r50", "mbf"])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="images of all ranks together")
    parser.add_argument("--steps", type=int, default=4, help="per measurement, after two to warm up")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each way")
    parser.add_argument("--neighbors", type=int, default=0, help="busy processes beside each measurement")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="ways with one of these in their name")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/cpu_speed.json"))
    arguments = parser.parse_args()
    report = {}
    for network in arguments.networks:
        table = {
            name: way for name, way in ways(arguments, network).items() if any(text in name for text in arguments.only)
        }
        results: dict[str, list[dict]] = {name: [] for name in table}
        for _ in range(arguments.rounds):
            for name, (command, environment, _) in table.items():
                with busy_neighbors(arguments.neighbors):
                    results[name].append(measure(command, environment))
        report[network] = {n: summarize(results[n], arguments.batch, table[n][2]) for n in table}
        best = max((row["img_per_second"] for n, row in report[network].items() if "PyTorch" in n), default=None)
        for name, row in report[network].items():
            ratio = f", {row['img_per_second'] / best:.2f} of PyTorch's best" if best else ""
            print(
                f"{network:6s} {name:32s} {row['img_per_second']:7.2f} img/s{ratio}; "
                f"{row['cpu_seconds_per_image']:.3f} CPU s an image; {row['peak_gib']} GiB a process",
                flush=True,
            )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2))
    plot(report, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        name, how, rows, count = sys.argv[2:]
        work(name, how == "on", int(rows), int(count))
    else:
        main()
