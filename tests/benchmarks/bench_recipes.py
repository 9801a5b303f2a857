"""Losses and recipes on the drawn demo faces, one run each. Not a test; run by hand:

    python -m tests.benchmarks.bench_recipes [--only NAME ...] [--out FOLDER]

Accuracy and TAR at FAR 1e-3 are those of the verification set of drawn faces at the run's end. A run takes one to two
minutes on two cores. Differences below two points are noise: the set has 600 pairs.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
# Margins of published size are too hard for so few people and steps.
RECIPES = {
    "softmax": ["loss=softmax", "lr=0.1"],
    "normface": ["loss=normface"],
    "cosface": ["loss=cosface(m=0.2)"],
    "arcface": ["loss=arcface(m=0.2)"],
    "magface": ["loss=magface(l_a=1, u_a=40, l_m=0.1, u_m=0.3, lambda_g=8)"],
    "adaface": ["loss=adaface(m=0.2)"],
    "curricularface": ["loss=curricularface(m=0.2)"],
    "sub-centers": ["loss=arcface(m=0.2)", "centers_per_class=3"],
    "airface": ["loss=airface(m=0.2)"],
    "mv_am": ["loss=mv_am(m=0.2)"],
    "npcface": ["loss=npcface(m=0.3, m0=0.2)"],
    "adacos": ["loss=adacos"],
    "circle": ["loss=circle(gamma=64)"],
    "elasticface": ["loss=elastic_cosface(m=0.2)"],
    "adaptiveface": ["loss=adaptiveface(m=0.2, lambda_m=10)"],
    "triplet fine-tuning": [
        "loss=cosface(m=0.2)",
        "phases=[{'num_epoch': 2}, "
        "{'num_epoch': 1, 'lr': 0.02, 'sampler': 'balanced(images=4)', 'loss': 'cosface(m=0.2) + triplet(alpha=0.2)'}]",
    ],
    "Partial FC, 0.2": ["loss=cosface(m=0.2)", "sample_rate=0.2"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=RECIPES, default=list(RECIPES), metavar="NAME")
    parser.add_argument("--out", type=Path, default=REPO / "work_dirs" / "recipes", help="default: work_dirs/recipes")
    wanted = parser.parse_args()
    print(
        "| recipe | accuracy % | TAR at FAR 1e-3, % | seconds | overrides |\n| --- | ---: | ---: | ---: | --- |",
        flush=True,
    )
    for name in wanted.only:
        output = wanted.out / name.replace(" ", "_").replace(",", "")
        start = time.perf_counter()
        run = [str(REPO / "train_graph_distributed.sh"), "demo", *RECIPES[name], f"output={output}"]
        done = subprocess.run(run, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        lines = [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]
        last = [line for line in lines if "verification/demo/accuracy" in line][-1]
        figures = (100 * last[f"verification/demo/{kind}"] for kind in ("accuracy", "tar_at_far_1e-3"))
        seconds = time.perf_counter() - start
        print(
            "| {} | {:.1f} | {:.1f} | {:.0f} | `{}` |".format(name, *figures, seconds, " ".join(RECIPES[name])),
            flush=True,
        )


if __name__ == "__main__":
    main()
