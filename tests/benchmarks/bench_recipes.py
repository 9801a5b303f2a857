"""Losses and recipes on hard drawn faces: which of the papers' claims show at this size? Not a test; run by hand:

    python -m tests.benchmarks.bench_recipes --out /tmp/recipes [--seeds 0 1] [--only NAME ...]

A long tail of people, strong changes of light and color, pictures of low quality (tools/make_demo_dataset.py says what
those are); and the same pictures with wrong labels, to clean. Verification is on people that training never saw, with
the same share of low quality. Each recipe is trained once for each seed, on NPROC ranks (1); figures that are in --out
already are kept, so that an interrupted benchmark goes on.

The table has the mean over the seeds, half of what they differ by, and the standard error that the number of pairs
leaves to one accuracy.
"""

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from preparation.convert.to_ofrecord import Settings, convert
from preparation.drawn import WRONG_LABELS, DemoParameters, make_demo_dataset
from preparation.edit.lists import read_records
from preparation.record_sets import RecordSets

REPO = Path(__file__).resolve().parents[2]
PEOPLE, IMAGES, PAIRS, BATCH, EPOCHS = 300, 40, 4000, 64, 5
HARD = {"light": 1.5, "low_quality": 0.3, "long_tail": 5.0}
WRONG = 0.2
# Margins of published size are too hard for so few people and steps.
ARCFACE = "loss=arcface(m=0.2)"


@dataclass(frozen=True)
class Recipe:
    """overrides: of configs/demo.py; those that are functions take the folder of the seed's runs.

    after: recipes whose runs it needs. data: "faces", "noisy" or "cleaned".
    """

    overrides: tuple[str | Callable[[Path], str], ...]
    after: tuple[str, ...] = ()
    data: str = "faces"
    epochs: float = 1.0  # times as many as the others


def _embedded(runs: Path) -> str:
    return f"teacher={runs / 'teacher' / 'rows.npy'}"


RECIPES = {
    "arcface": Recipe((ARCFACE,)),
    "softmax": Recipe(("loss=softmax",)),
    "cosface": Recipe(("loss=cosface(m=0.2)",)),
    "magface": Recipe(("loss=magface(l_a=4, u_a=20, l_m=0.1, u_m=0.4, lambda_g=11)",)),
    "adaface": Recipe(("loss=adaface(m=0.2)",)),
    "curricularface": Recipe(("loss=curricularface(m=0.2)",)),
    "arcface, noisy": Recipe((ARCFACE,), data="noisy"),
    "sub-centers, noisy": Recipe(("loss=arcface(m=0.1)", "centers_per_class=3", "lr=0.2"), data="noisy", epochs=4),
    "arcface, cleaned": Recipe((ARCFACE,), after=("sub-centers, noisy",), data="cleaned"),
    "triplet fine-tuning": Recipe(
        (
            "loss=cosface(m=0.2) + triplet(alpha=0.2)",
            "sampler=balanced(images=4)",
            "lr=0.01",
            lambda runs: f"pretrained={runs / 'cosface'}",
            lambda runs: f"pretrained_head={_newest(runs / 'cosface')}",
        ),
        after=("cosface",),
        epochs=0.4,
    ),
    "teacher": Recipe((ARCFACE,), epochs=3),
    "distilled": Recipe((ARCFACE + " + 7 * distillation", _embedded), after=("teacher",)),
    "normface": Recipe(("loss=normface",)),
    "airface": Recipe(("loss=airface(m=0.2)",)),
    "mv_am": Recipe(("loss=mv_am(m=0.2)",)),
    "npcface": Recipe(("loss=npcface(m=0.3, m0=0.2)",)),
    "adacos": Recipe(("loss=adacos",)),
    "circle": Recipe(("loss=circle(gamma=64)",)),
    "elasticface": Recipe(("loss=elastic_cosface(m=0.2)",)),
    "adaptiveface": Recipe(("loss=adaptiveface(m=0.2, lambda_m=10)",)),
    "Partial FC, 0.2": Recipe(("loss=cosface(m=0.2)", "sample_rate=0.2")),
}


@dataclass
class Bench:
    """The runs of one seed. Data sets are shared by all seeds."""

    out: Path
    seed: int
    epochs: int
    figures: dict[str, dict] = field(default_factory=dict)

    @property
    def runs(self) -> Path:
        return self.out / f"seed{self.seed}"

    def figures_of(self, name: str) -> dict:
        """Of a recipe's run, trained now unless it was already."""
        run = self.runs / _folder_name(name)
        kept = run / "figures.json"
        if not kept.exists():
            for needed in RECIPES[name].after:
                self.figures_of(needed)
            start = time.perf_counter()
            figures = self._train(name, run)
            figures["seconds"] = time.perf_counter() - start
            kept.write_text(json.dumps(figures) + "\n")
        return json.loads(kept.read_text())

    def _train(self, name: str, run: Path) -> dict:
        recipe, extra = RECIPES[name], {}
        data = self.out / recipe.data / "ofrecord"
        if recipe.data == "cleaned":
            data, extra = self._clean(self.runs / _folder_name(recipe.after[0]))
        own = [part if isinstance(part, str) else part(self.runs) for part in recipe.overrides]
        epochs = max(1, round(recipe.epochs * self.epochs))
        usual = [f"ofrecord_path={data}", f"val_path={self.out / 'faces/ofrecord'}", f"batch_size={BATCH}", "lr=0.1"]
        usual += [f"num_epoch={epochs}", f"seed={2048 + self.seed}", "verbose=0", f"output={run}"]
        _run("./train_graph_distributed.sh", "demo", *usual, *own)
        if name == "teacher":
            source = str(self.out / "faces/ofrecord")
            _run(sys.executable, "tools/embed.py", source, "--model_path", run, "--out", _embedded(self.runs)[8:])
        last = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()][-1]
        return {kind: last[f"verification/demo/{kind}"] for kind in ("accuracy", "tar_at_far_1e-3")} | extra

    def _clean(self, run: Path) -> tuple[Path, dict]:
        """The noisy set cleaned by a run with sub-centers; precision and recall of what went."""
        noisy, cleaned = self.out / "noisy", self.runs / "cleaned"
        _run(
            sys.executable,
            "tools/clean_dataset.py",
            noisy / "ofrecord",
            "--checkpoint",
            run,
            "--out",
            cleaned,
            "--force",
        )
        with open(noisy / "faces" / WRONG_LABELS, newline="") as lines:
            wrong = np.array([int(line["key"]) - 1 for line in csv.DictReader(lines)])
        dropped = read_records(cleaned / "cleaning/dropped.csv", RecordSets(noisy / "ofrecord"))
        right = len(np.intersect1d(dropped, wrong))
        return cleaned, {"dropped": len(dropped), "precision": right / len(dropped), "recall": right / len(wrong)}


def _folder_name(name: str) -> str:
    return name.replace(" ", "_").replace(",", "")


def _newest(run: Path) -> Path:
    return max((run / "checkpoints").glob("step-*"))


def _run(*command: object) -> None:
    environment = {"NPROC": "1", "OMP_NUM_THREADS": "1", **os.environ}  # threads that wait for each other are slow
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=REPO, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")


def make_data(out: Path) -> None:
    """out/faces and out/noisy, as recordio and converted, record n of key n + 1."""
    for name, wrong in (("faces", 0.0), ("noisy", WRONG)):
        folder = out / name
        parameters = DemoParameters(PEOPLE, IMAGES, 0, PAIRS if not wrong else 40, **HARD, wrong_labels=wrong)
        if make_demo_dataset(folder / "faces", parameters):
            convert(Settings(folder / "faces", folder / "ofrecord", num_part=8, shuffle=False, force=True))


def line_of(name: str, found: list[dict]) -> str:
    """A row of the table from the figures of each seed."""
    words = [name]
    for kind in ("accuracy", "tar_at_far_1e-3"):
        values = [100 * figures[kind] for figures in found]
        words.append(f"{np.mean(values):.1f} ± {np.ptp(values) / 2:.1f}" if len(values) > 1 else f"{values[0]:.1f}")
    accuracy = np.mean([figures["accuracy"] for figures in found])
    words.append(f"{100 * math.sqrt(accuracy * (1 - accuracy) / PAIRS):.1f}")
    words.append(f"{np.mean([figures['seconds'] for figures in found]):.0f}")
    if "precision" in found[0]:
        words[0] += "".join(f"; {kind} {np.mean([f[kind] for f in found]):.3f}" for kind in ("precision", "recall"))
    return f"| {' | '.join(words)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=RECIPES, default=list(RECIPES), metavar="NAME")
    parser.add_argument("--out", type=Path, default=REPO / "work_dirs" / "recipes", help="default: work_dirs/recipes")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="default: 0 1")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="default: %(default)s")
    wanted = parser.parse_args()
    wanted.out = wanted.out.absolute()
    make_data(wanted.out)
    found: dict[str, list[dict]] = {name: [] for name in wanted.only}
    for seed in wanted.seeds:
        bench = Bench(wanted.out, seed, wanted.epochs)
        for name in wanted.only:
            found[name].append(bench.figures_of(name))
            print(f"seed {seed}: {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    print(
        "| recipe | accuracy % | TAR at FAR 1e-3, % | standard error | seconds |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for name, figures in found.items():
        print(line_of(name, figures))


if __name__ == "__main__":
    main()
