"""Kills training runs of two ranks with kill -9 at random moments. Not a test; run by hand:

    python -m tests.benchmarks.kill_runs [--kills 30 | --inside 50] [--mode graph] [--seed 0] [--folder DIR]

One run is killed and taken up again with `resume=True` as often as asked for: rank 0, rank 1, both or the launcher; at
any moment of start or training, or while a checkpoint is being written. Then it ends undisturbed, and so does a run
that was never killed. The losses of all steps, the files of each checkpoint that a killed run went on from, and
weights, momentum and statistics at the end must have the same bits, and no kill may have cost more than `save_interval`
steps. The exit status is 0 if so.

--inside: kills are aimed at checkpoints being written, until so many have landed there.
"""

import argparse
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from engine.checkpoint import list_checkpoints, step_of
from tests.ranks import ROOT, launch_command, rank_environment
from utils.tensor_file import read_tensors

INTERVAL = 5  # save_interval
CONFIG = f"""
from easydict import EasyDict as edict

config = edict()
config.network, config.embedding_size, config.batch_size = "mbf_tiny", 64, 4
config.synthetic, config.num_classes, config.num_image = True, 100_001, 400
# A rate that does not depend on the run's length, which is known only when all kills are done.
config.lr, config.lr_schedule, config.decay_epoch, config.decay_rate = 0.01, "multistep", (1,), 1.0
config.save_interval, config.frequent, config.tensorboard, config.device = {INTERVAL}, 1, False, "cpu"
"""
WHOM = ("rank 0", "rank 1", "both ranks", "launcher")
WHEN = ("any moment", "training", "writing")
WRITING = 0.1  # seconds that a checkpoint is written, or a little longer


@dataclass
class Kill:
    whom: str
    when: str
    reached: int  # the last step in the log
    resumed: int  # the step of the newest checkpoint
    written: list[str]  # files of a checkpoint that was half-written; empty if none was
    seals: dict  # size and checksum of each file of the newest checkpoint

    @property
    def inside(self) -> bool:
        return bool(self.written)

    @property
    def lost(self) -> int:
        return self.reached - self.resumed


class Run:
    def __init__(self, folder: Path, name: str, mode: str) -> None:
        self.output, self._config, self._mode = folder / name, folder / "killed.py", mode
        self._config.write_text(CONFIG)
        self.checkpoints, self._log = self.output / "checkpoints", self.output / "training.log"

    def start(self, *settings: str, output: IO | int = subprocess.PIPE) -> subprocess.Popen:
        arguments = ["train.py", str(self._config), f"--{self._mode}", f"output={self.output}", *settings]
        return subprocess.Popen(
            launch_command(2, *arguments),
            cwd=ROOT, env=rank_environment(), stdout=output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def losses(self) -> list[tuple[int, str]]:
        """(step, loss) as logged, in the order of the log."""
        text = self._log.read_text() if self._log.exists() else ""
        return [(int(step), loss) for loss, step in re.findall(r"Loss (\S+) .*Global Step: (\d+)/", text)]

    def newest(self) -> int:
        return max(map(step_of, list_checkpoints(self.checkpoints)), default=0)

    def seals(self) -> dict[int, dict]:
        """Size and checksum of each file of the checkpoints that are there, by their steps."""
        found = {}
        for checkpoint in list_checkpoints(self.checkpoints):
            with suppress(OSError):  # it has just been removed
                found[step_of(checkpoint)] = json.loads((checkpoint / "checkpoint.json").read_text())["files"]
        return found

    def finish(self, epochs: int, *settings: str) -> dict[int, dict]:
        """Runs to the end; the seals of all checkpoints on the way."""
        with tempfile.TemporaryFile("w+") as printed:
            process = self.start(f"num_epoch={epochs}", *settings, output=printed)
            seals = {}
            while process.poll() is None:
                seals |= self.seals()
                time.sleep(0.05)
            printed.seek(0)
            if process.returncode != 0:
                sys.exit(f"a run that nobody killed has failed:\n{printed.read()[-3000:]}")
        return seals | self.seals()


def kill(run: Run, whom: str, when: str, rng: random.Random) -> Kill:
    """Takes the run up, lets it go on for a while and kills it."""
    before, newest, left = len(run.losses()), run.newest(), partials(run)
    process = run.start("num_epoch=100000", "resume=True")
    begin = time.monotonic()
    if when == "any moment":
        wait(process, lambda: time.monotonic() > begin + 0.5)  # the launcher has started its ranks
        time.sleep(rng.uniform(0, 15))
    else:
        wait(process, lambda: len(run.losses()) > before)
        if when == "writing":
            first = newest + INTERVAL * rng.randrange(0 if newest else 1, 3)  # that some of them are written whole
            wait(process, lambda: run.newest() >= first)
            wait(process, lambda: bool(half_written(run, left)))
            time.sleep(rng.uniform(0, WRITING))
        else:
            time.sleep(rng.uniform(0, 3))
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    victims = {"rank 0": children[:1], "rank 1": children[1:2], "both ranks": children, "launcher": [process.pid]}
    for pid in victims[whom]:
        os.kill(int(pid), signal.SIGKILL)
    process.communicate(timeout=60)
    written = half_written(run, left)
    steps = [step for step, _ in run.losses()[before:]]
    newest = run.newest()
    return Kill(whom, when, steps[-1] if steps else newest, newest, written, run.seals().get(newest, {}))


def partials(run: Run) -> dict[Path, int]:
    """Folders of half-written checkpoints, and when each was last changed."""
    found = {}
    for partial in run.checkpoints.glob("*.partial"):
        with suppress(OSError):  # it has just become a checkpoint
            found[partial] = partial.stat().st_ctime_ns
    return found


def half_written(run: Run, left: dict[Path, int]) -> list[str]:
    """What is there of a checkpoint that is being written; left: what earlier kills have left."""
    changed = [partial for partial, when in partials(run).items() if left.get(partial) != when]
    return sorted(file.name for partial in changed for file in [partial, *partial.glob("*")])


def wait(process: subprocess.Popen, condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the run did not go on:\n{process.communicate()[0][-3000:]}")
        time.sleep(0.002)


def same(killed: Run, undisturbed: Run, kills: list[Kill], seals: dict[int, dict]) -> bool:
    """Prints whether the two runs are equal, and the checkpoints that kills left; seals: of the undisturbed run's."""
    left = [kill for kill in kills if kill.resumed]
    others = [kill.resumed for kill in left if seals[kill.resumed] != kill.seals]
    print(f"{len(left)} checkpoints that a killed run went on from, {len(others)} differ")
    expected = dict(undisturbed.losses())
    found = killed.losses()
    differing = [step for step, loss in found if expected[step] != loss]
    print(f"{len(found)} losses logged of {len(expected)} steps, {len(differing)} differ")
    one, two = (list_checkpoints(run.checkpoints)[-1] for run in (undisturbed, killed))
    tensors = unequal = 0
    for file in sorted(one.glob("*.safetensors")):
        arrays, found_there = read_tensors(file), read_tensors(two / file.name)
        for name in arrays.keys() | found_there.keys():
            tensors += 1
            unequal += name not in arrays or name not in found_there
            unequal += name in arrays and not np.array_equal(arrays[name], found_there.get(name))
    print(f"{one.name} and {two.name}: {tensors} tensors, {unequal} differ")
    whole = one.name == two.name and {step for step, _ in found} == expected.keys()
    return whole and not differing and not unequal and not others


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--inside", type=int, default=0, help="kills that are to land in a checkpoint's writing")
    parser.add_argument("--mode", choices=("graph", "eager"), default="graph")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where to work (default: the temporary folder)")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        run, undisturbed = (Run(Path(name), kind, arguments.mode) for kind in ("killed", "undisturbed"))
        kills = []
        for number in itertools.count():
            landed = sum(done.inside for done in kills)
            if (landed >= arguments.inside) if arguments.inside else (number >= arguments.kills):
                break
            when = "writing" if arguments.inside else WHEN[number % len(WHEN)]
            done = kill(run, WHOM[number % len(WHOM)], when, rng)
            kills.append(done)
            moment = f"while {', '.join(done.written)} was written" if done.inside else ""
            print(
                f"{number + 1:3} {done.whom:10} ({done.when}): at step {done.reached}, goes on from {done.resumed}, "
                f"{done.lost} lost {moment}",
                flush=True,
            )
        epochs = max(2, run.newest() // 50 + 1)  # of 50 steps
        run.finish(epochs, "resume=True")
        seals = undisturbed.finish(epochs, "keep_checkpoints=20")
        lost = [done.lost for done in kills]
        print(
            f"{len(kills)} kills, {sum(done.inside for done in kills)} while a checkpoint was written: at most "
            f"{max(lost)} steps lost (save_interval is {INTERVAL}), {np.mean(lost):.1f} on average"
        )
        return 0 if same(run, undisturbed, kills, seals) and max(lost) <= INTERVAL else 1


if __name__ == "__main__":
    sys.exit(main())
