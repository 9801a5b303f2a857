"""Check OFRecord parts that another tool wrote and add what the training needs: an index per part and dataset.json.

python tools/index_ofrecord.py faces_emore/ofrecord --num_classes 85742
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from preparation.convert.index_parts import index_parts
from utils.cli import image_size, run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with part-00000, part-00001, ...")
    parser.add_argument(
        "--num_classes", type=int, help="labels lie in [0, N) (default: from `property`, else the highest and one more)"
    )
    parser.add_argument(
        "--image_size",
        type=image_size,
        metavar="SIZE",
        help="size of the images, 128 or 96x112 (default: from `property`, else 112x112)",
    )
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=int, default=cores, help="processes (default: one per core)")
    args = parser.parse_args(arguments)
    manifest = index_parts(args.folder, args.num_classes, args.workers, args.image_size)
    print(f"{manifest.num_records:,} images of {manifest.num_classes:,} identities in {len(manifest.parts)} parts")


if __name__ == "__main__":
    run_cli(main, stopped="Stopped; nothing is lost by running it again.")
