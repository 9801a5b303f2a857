"""Turn arcface_torch's backbone.pth into a model of this repository: backbone.safetensors and config.json.

python tools/import_torch_weights.py backbone.pth --network r50 --out work_dirs/r50_torch
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from utils.cli import run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="a state_dict as arcface_torch saves it")
    parser.add_argument("--network", required=True, help="such as r50 or mbf")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the model")
    parser.add_argument(
        "--torch_python", default=sys.executable, metavar="PYTHON", help="a Python that has torch; default: this one"
    )
    args = parser.parse_args(arguments)

    from deploy.torch_weights import fit_to_network, read_torch_weights
    from deploy.weights import save_backbone

    state, embedding_size = fit_to_network(read_torch_weights(args.weights, args.torch_python), args.network)
    print(save_backbone(args.out, state, args.network, embedding_size))


if __name__ == "__main__":
    run_cli(main)
