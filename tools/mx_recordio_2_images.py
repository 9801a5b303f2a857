"""Write the images of MXNet recordio as files, and label.txt, in the layout of PLSC's tool of this name.

python tools/mx_recordio_2_images.py --root_dir faces_emore --output_dir out
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from preparation.convert.to_images import SKIPPED_NAME, write_images
from utils.cli import run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root_dir", type=Path, required=True, help="folder with train.rec, train.idx and property")
    parser.add_argument(
        "--out", "--output_dir", dest="output_dir", metavar="DIR", type=Path, required=True, help="folder to make"
    )
    parser.add_argument("--force", action="store_true", help="replace a folder that has a label.txt")
    args = parser.parse_args(arguments)
    images, identities, skipped = write_images(args.root_dir, args.output_dir, args.force)
    print(f"{images:,} images of {identities:,} identities in {args.output_dir}")
    if skipped:
        print(f"{skipped:,} skipped, listed in {args.output_dir / SKIPPED_NAME}")


if __name__ == "__main__":
    run_cli(main)
