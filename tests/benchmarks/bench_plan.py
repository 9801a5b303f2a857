"""The planner's prediction against the measured peak of real runs on a CPU. Not a test; run by hand:

    python -m tests.benchmarks.bench_plan [--only TEXT]

Takes a quarter of an hour on two cores, and up to 6 GB at a time.
"""

import argparse
import os

os.environ.setdefault("GLOG_minloglevel", "3")

from planning.measure import OutOfMemory, measure
from planning.options import Planner
from utils.config import load_config

POINTS = (
    (1, "network=mbf_tiny batch_size=64 num_classes=10000"),
    (1, "network=mbf_tiny batch_size=64 num_classes=100000"),
    (1, "network=mbf_tiny batch_size=64 num_classes=100000 sample_rate=0.1"),
    (1, "network=mbf_tiny batch_size=64 num_classes=1000000 sample_rate=0.1"),
    (1, "network=mbf_tiny batch_size=64 num_classes=1000000 sample_rate=0.1 head_dtype=float16"),
    (1, "network=mbf_tiny batch_size=64 num_classes=300000 sample_rate=0.1 head_store=mmap"),
    (1, "network=mbf_tiny batch_size=64 num_classes=100000 sample_rate=0.3 gradient_acc=2"),
    (2, "network=mbf_tiny batch_size=64 num_classes=100000"),
    (2, "network=mbf_tiny batch_size=32 num_classes=300000 sample_rate=0.1 correct_skipped=True"),
    (1, "network=mbf_tiny batch_size=64 num_classes=100000 optimizer=adamw"),
    (1, "network=mbf_tiny batch_size=64 num_classes=1000000 sample_rate=0.1 optimizer=adamw"),
    (1, "network=r18 batch_size=8 num_classes=10000"),
    (1, "network=r18 batch_size=8 num_classes=10000 optimizer=adamw"),
    (2, "network=r18 batch_size=4 num_classes=100000 sample_rate=0.1 optimizer=adamw"),
    (2, "network=r18 batch_size=4 num_classes=10000"),
    (1, "network=r50 batch_size=4 num_classes=100000 sample_rate=0.1"),
    (1, "network=mbf batch_size=4 num_classes=10000 cpu_kernels=False"),
    (1, "network=mbf batch_size=16 num_classes=10000"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="only points with this in them")
    only = parser.parse_args().only
    print("| ranks | point | predicted MB | measured MB | off by |\n| ---: | --- | ---: | ---: | ---: |", flush=True)
    worst = 0.0
    for ranks, text in POINTS:
        if only not in text:
            continue
        overrides = [*text.split(), "device=cpu"]
        cfg = load_config("speed_head", overrides)
        predicted = Planner(cfg, ranks, "cpu").predict(cfg.num_classes).host_total
        found = measure("speed_head", overrides, ranks, steps=2, warmup=2)
        if isinstance(found, OutOfMemory):
            print(f"| {ranks} | {text} | {predicted / 1e6:.0f} | {found.reason} | - |", flush=True)
            continue
        off = predicted / found.peak - 1
        worst = max(worst, abs(off))
        print(f"| {ranks} | {text} | {predicted / 1e6:.0f} | {found.peak / 1e6:.0f} | {off:+.1%} |", flush=True)
    print(f"worst: {worst:.1%}")


if __name__ == "__main__":
    main()
