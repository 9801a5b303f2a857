"""A long run of tiny steps: memory, open files and threads of its processes must stay flat. Run by hand:

    python -m tests.benchmarks.long_run [--steps 20000] [--ranks 1] [--mode graph] [--folder DIR]

It trains the smallest network on synthetic images, with an epoch, a checkpoint and its removal every fiftieth of the
run, and looks at the launcher and each rank from outside whenever the log has another line. The first fifth is warm-up.
Prints JSON: what each process held then and at the end, and `flat`; the exit status is 0 if all of them are.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.ranks import ROOT, launch_command, rank_environment

BATCH = 4
CONFIG = f"""
from easydict import EasyDict as edict

config = edict()
config.network, config.embedding_size, config.batch_size = "mbf_tiny", 16, {BATCH}
config.synthetic, config.num_classes, config.lr, config.device = True, 41, 0.01, "cpu"
config.prefetch = 2
"""
EPOCHS = 50
MEMORY = 4 << 20  # bytes that a process may have more at the end than after the warm-up ...
PER_STEP = 100  # ... or so many for each step in between; allocators keep some that they were given back
_STEP = re.compile(r"Global Step: (\d+)/")


@dataclass(frozen=True)
class Sample:
    """Of one process: private bytes, open files and threads once a step was logged."""

    step: int
    memory: int
    files: int
    threads: int


@dataclass(frozen=True)
class Verdict:
    """Of one process: medians of the second and the last fifth of the run."""

    memory: tuple[int, int]  # bytes
    files: tuple[int, int]
    threads: tuple[int, int]
    bytes_per_step: float
    growing: list[str]  # what of the three


def judge(samples: list[Sample]) -> Verdict:
    fifth = len(samples) // 5
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]

    def medians(name: str) -> tuple[int, int]:
        return tuple(int(statistics.median(getattr(one, name) for one in part)) for part in (early, late))

    memory, files, threads = map(medians, ("memory", "files", "threads"))
    steps = late[fifth // 2].step - early[fifth // 2].step
    more = memory[1] - memory[0]
    growing = ["memory"] if more > max(MEMORY, PER_STEP * steps) else []
    growing += [name for name, (then, now) in (("files", files), ("threads", threads)) if now > then]
    return Verdict(memory, files, threads, round(more / steps, 1), growing)


def long_run(folder: Path, steps: int, ranks: int, mode: str, script: str = "train.py") -> dict[str, Verdict]:
    """Trains so many steps by `script` and judges each process by its name."""
    config, output, printed = folder / "long.py", folder / "long", folder / "printed"
    config.write_text(CONFIG)
    images, frequent = steps // EPOCHS * BATCH * ranks, max(1, steps // 200)
    lengths = [f"num_image={images}", f"num_epoch={EPOCHS}", f"frequent={frequent}", f"output={output}"]
    command = launch_command(ranks, script, str(config), f"--{mode}", *lengths)
    with printed.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=rank_environment(), stdout=file, stderr=subprocess.STDOUT)
    samples: dict[str, list[Sample]] = {}
    log, last = output / "training.log", 0
    try:
        while process.poll() is None:
            found = _STEP.findall(log.read_text()) if log.exists() else []
            if found and int(found[-1]) > last:
                last = int(found[-1])
                with suppress(OSError):  # one of them has just ended
                    for name, sample in look(process.pid, last).items():
                        samples.setdefault(name, []).append(sample)
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        sys.exit(f"the run has failed:\n{printed.read_text()[-3000:]}")
    return {name: judge(of_one) for name, of_one in samples.items()}


def look(launcher: int, step: int) -> dict[str, Sample]:
    """The launcher and its ranks, by their names."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    processes = {"launcher": launcher}
    for pid in children:
        variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
        rank = next(one for one in variables if one.startswith("RANK="))
        processes[f"rank {rank.removeprefix('RANK=')}"] = int(pid)
    return {name: sample(pid, step) for name, pid in processes.items()}


def sample(pid: int, step: int) -> Sample:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Sample(step, int(fields["RssAnon"].split()[0]) << 10, files, int(fields["Threads"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--mode", choices=("graph", "eager"), default="graph")
    parser.add_argument("--folder", help="where to work (default: the temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        begin = time.monotonic()
        found = long_run(Path(folder), arguments.steps, arguments.ranks, arguments.mode)
    flat = bool(found) and not any(verdict.growing for verdict in found.values())
    said = {"steps": arguments.steps, "ranks": arguments.ranks, "mode": arguments.mode}
    said["seconds"] = round(time.monotonic() - begin)
    said["processes"] = {name: asdict(verdict) for name, verdict in found.items()}
    print(json.dumps(said | {"flat": flat}, indent=1))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
