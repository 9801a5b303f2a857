"""How fast single operators are on one core: ours, OneFlow as it is, and PyTorch, each forward and back. Not a test:

    python -m tests.benchmarks.bench_cpu_ops [--repeats 20] [--rounds 3] [--only TEXT] [--out FILE.json]

Operators run eagerly, so ours keep channels first and oneDNN copies between layouts, which it does not in a compiled
step (docs/cpu.md): whole steps (bench_cpu_speed) are quicker than the sum of these. PyTorch takes part, with channels
first and last, if a Python has it (tests/torch_python.py). Prints milliseconds, the best of the rounds; writes JSON.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.op_cases import CASES, measure_all
from tests.torch_python import find_torch_python

ROOT = Path(__file__).resolve().parents[2]
OURS, AS_IT_IS = "ours", "OneFlow as it is"
TORCH = {"PyTorch, channels first": "first", "PyTorch, channels last": "last"}


def work(way: str, names: list[str], repeats: int) -> None:
    """One way, in a process of its own; prints seconds by name."""
    if way in TORCH:
        import torch as library

        library.set_num_threads(1)
        last = TORCH[way] == "last"
        order = library.channels_last if last else library.contiguous_format
        seconds = measure_all(
            library, names, repeats, lambda tensor: tensor.to(memory_format=order) if tensor.dim() == 4 else tensor
        )
    else:
        import oneflow as library

        if way == OURS:
            from native.library import load_kernels

            load_kernels()
        seconds = measure_all(library, names, repeats)
    print(json.dumps(seconds), flush=True)


def measure(python: str, way: str, names: list[str], repeats: int) -> dict[str, float]:
    settings = {"GLOG_minloglevel": "2", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if way != AS_IT_IS:  # OpenBLAS chooses its kernels by the processor, as in a run with cpu_kernels
        settings["OPENBLAS_CORETYPE"] = ""
    command = [python, "-m", "tests.benchmarks.bench_cpu_ops", "--worker", way, str(repeats), *names]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | settings, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{way} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20, help="passes of a measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way, in turn")
    parser.add_argument("--only", default="", metavar="TEXT", help="operators with this in their name")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/cpu_ops.json"))
    arguments = parser.parse_args()
    names = [name for name in CASES if arguments.only in name]
    pythons = dict.fromkeys((OURS, AS_IT_IS), sys.executable)
    if python := find_torch_python():
        pythons |= dict.fromkeys(TORCH, python)
    rounds = {way: [] for way in pythons}
    for _ in range(arguments.rounds):
        for way, interpreter in pythons.items():
            rounds[way].append(measure(interpreter, way, names, arguments.repeats))
    report = {name: {way: min(one[name] for one in rounds[way]) for way in pythons} for name in names}
    print("| forward and back, ms | " + " | ".join(pythons) + " |\n| --- |" + " ---: |" * len(pythons))
    for name, seconds in report.items():
        print(f"| {name} | " + " | ".join(f"{1e3 * value:.2f}" for value in seconds.values()) + " |")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], sys.argv[4:], int(sys.argv[3]))
    else:
        main()
