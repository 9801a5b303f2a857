"""What saving and resuming a run with very many classes takes. Not a test; run by hand:

    python -m tests.benchmarks.bench_checkpoint [--classes 1000000] [--ranks 1 2] [--steps 0] [--folder DIR]

Per rank: seconds and bytes, and the memory that the process itself holds (RssAnon) before, at the most while it saves
or resumes, and afterwards; "VmHWM" is the kernel's figure for the peak, which counts mapped files and libraries too.
Without steps the momentum is made up, which leaves out the step's own memory.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from easydict import EasyDict

from tests.ranks import run_ranks

_MB = 1e6
CONFIG = """
from easydict import EasyDict as edict

config = edict()
config.network, config.embedding_size, config.batch_size = "mbf_tiny", 512, 2
config.synthetic, config.num_classes, config.num_image = True, {classes}, 400
config.device, config.tensorboard = "cpu", False
"""


def memory() -> dict[str, float]:
    """MB by the names of /proc/self/status."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {line[0].rstrip(":"): int(line[1]) * 1024 / _MB for line in lines if line[-1] == "kB"}


@contextmanager
def measured(found: dict):
    """Puts seconds and MB of what happens inside into `found`."""
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins again
    stop, highest = threading.Event(), [0.0]

    def watch() -> None:
        while not stop.wait(0.005):
            highest[0] = max(highest[0], memory()["RssAnon"])

    watcher = threading.Thread(target=watch)
    before, clock = memory(), time.perf_counter()
    watcher.start()
    yield
    found["seconds"] = time.perf_counter() - clock
    stop.set()
    watcher.join()
    after = memory()
    found |= {"before": before["RssAnon"], "peak": max(highest[0], after["RssAnon"]), "after": after["RssAnon"]}
    found |= {"VmRSS before": before["VmRSS"], "VmHWM": after["VmHWM"]}


def work(task: str, config: str, output: str, steps: int, mode: str) -> None:
    """One rank: saves a run, or resumes it."""
    from data.loader import SyntheticLoader
    from engine.checkpoint import newest_checkpoint
    from engine.measures import mean_of
    from engine.snapshot import save_run
    from engine.trainer import Trainer
    from utils.config import load_config
    from utils.runtime import start_runtime

    cfg = load_config(config, [f"output={output}"])
    cfg.graph = mode == "graph"
    runtime = start_runtime("cpu")
    share = {"rank": runtime.rank, "ranks": runtime.ranks, "seed": cfg.seed}
    loader = SyntheticLoader(cfg.num_classes, cfg.num_image, cfg.batch_size, **share)
    trainer = Trainer(cfg, runtime, lambda _: loader)
    found: dict = EasyDict(task=task, rank=runtime.rank, made=memory()["VmHWM"])
    if task == "save":
        trainer.start_from(None, None)
        trainer.store.make_resident()
        for batch in loader.batches(0, steps):
            trainer.losses = trainer.train_step(batch)
            trainer.step += 1
            mean_of([trainer.loss], runtime)
        state = trainer.backbone_state()
        with measured(found):
            folder = save_run(trainer, state)
        found["bytes"] = sum(file.stat().st_size for file in folder.iterdir())
    else:
        with measured(found):
            trainer.resume(newest_checkpoint(trainer.output / "checkpoints", runtime, print))
    Path(output, f"{task}-{runtime.rank}.json").write_text(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=1_000_000)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--mode", choices=("graph", "eager"), default="graph")
    parser.add_argument("--steps", type=int, default=0, help="steps before saving (default: %(default)s)")
    parser.add_argument("--folder", help="where to write (default: the temporary folder)")
    arguments = parser.parse_args()
    print(f"{arguments.classes} x 512 float32 is {arguments.classes * 512 * 4 / _MB:.0f} MB; its momentum as much")
    for ranks in arguments.ranks:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            config = Path(folder, "large.py")
            config.write_text(CONFIG.format(classes=arguments.classes))
            for task in ("save", "resume"):
                worker = "tests/benchmarks/bench_checkpoint.py"
                run_ranks(ranks, worker, "--worker", task, str(config), folder, str(arguments.steps), arguments.mode)
                for rank in range(ranks):
                    r = json.loads(Path(folder, f"{task}-{rank}.json").read_text())
                    size = f"{r['bytes'] / _MB:.0f} MB written, " if "bytes" in r else ""
                    print(
                        f"{ranks} rank(s), {task}, rank {rank}: {r['seconds']:.1f} s, {size}"
                        f"MB held before {r['before']:.0f}, peak {r['peak']:.0f}, after {r['after']:.0f}; "
                        f"VmRSS before {r['VmRSS before']:.0f}, VmHWM {r['VmHWM']:.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        task, config, output, steps, mode = sys.argv[2:]
        work(task, config, output, int(steps), mode)
        sys.stdout.flush()
        os._exit(0)  # at once: what the trainer holds need not be freed in order
    main()
