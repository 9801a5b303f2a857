"""Whether two pictures of aligned faces show the same person.

python examples/use_a_model.py MODEL PICTURE PICTURE [--threshold 0.3]

MODEL: a run's folder (work_dirs/demo), backbone.safetensors, or an .onnx file. The pictures are faces as the model was
trained on, mostly 112x112; tools/recognize.py finds faces in photographs.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

import numpy as np

from utils.cli import run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path, nargs=2, metavar="PICTURE")
    parser.add_argument(
        "--threshold", type=float, default=0.3, help="cosine above which it is one person (%(default)s)"
    )
    args = parser.parse_args(arguments)

    from deploy.embedder import load_embedder
    from evaluation.sources import read_image

    embedder = load_embedder(args.model)  # (N, H, W, 3) uint8 RGB -> (N, E) float32
    first, second = embedder(np.stack([read_image(path) for path in args.pictures]))
    cosine = float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    same = cosine > args.threshold
    print(f"cosine {cosine:.3f}: {'the same person' if same else 'two people'}")


if __name__ == "__main__":
    run_cli(main)
