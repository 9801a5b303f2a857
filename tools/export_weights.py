"""Turn a model of this repository into a backbone.pth as arcface_torch loads it.

python tools/export_weights.py work_dirs/demo --out work_dirs/backbone.pth
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from utils.cli import run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a .safetensors file, or the folder of a run or checkpoint")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.pth")
    parser.add_argument(
        "--torch_python", default=sys.executable, metavar="PYTHON", help="a Python that has torch; default: this one"
    )
    args = parser.parse_args(arguments)

    from deploy.torch_weights import write_torch_weights
    from deploy.weights import load_backbone

    state, _ = load_backbone(args.model)
    write_torch_weights(args.out, state, args.torch_python)
    print(args.out)


if __name__ == "__main__":
    run_cli(main)
