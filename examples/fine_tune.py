"""Fine-tunes a trained model on other people: a folder with a folder of aligned faces for each person.

python examples/fine_tune.py MODEL PEOPLE [--out DIR] [key=value ...]

MODEL: the folder of a run, such as work_dirs/demo. First the new people's class centers are trained alone, then all of
it at a small rate. The result is in work_dirs/fine_tuned/run, or --out; any key of the config may follow
(docs/config.md).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("people", type=Path)
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value")
    parser.add_argument("--out", type=Path, default=REPO / "work_dirs/fine_tuned", metavar="DIR")
    args = parser.parse_intermixed_args()
    dataset, run = args.out.resolve() / "dataset", args.out.resolve() / "run"

    prepare = ["python", "tools/prepare_dataset.py", args.people.resolve(), "--out", dataset]
    status = subprocess.run(["bash", "-c", 'source setup.sh && exec "$@"', "bash", *prepare], cwd=REPO).returncode
    if status:
        return status
    about = json.loads((args.model / "config.json").read_text())  # written beside every model
    keys = {
        "ofrecord_path": dataset,
        "output": run,
        "pretrained": args.model.resolve(),
        "network": about["network"],
        "embedding_size": about["embedding_size"],
        "freeze_backbone": 100,  # steps that train the new class centers alone
        "lr": 0.01,  # a tenth of what training from scratch takes
        "num_epoch": 5,
    }
    train = ["./train_graph_distributed.sh", "configs/base.py", *[f"{key}={value}" for key, value in keys.items()]]
    return subprocess.run([*train, *args.overrides], cwd=REPO).returncode


if __name__ == "__main__":
    sys.exit(main())
