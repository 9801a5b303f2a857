"""Take a verification set apart: its images as files, and the list of its pairs.

python tools/bin_to_images.py datasets/lfw.bin --out datasets/lfw_images --flip_test

`tools/make_bin.py datasets/lfw_images/pairs.txt --out datasets/lfw.bin` puts it together again.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from evaluation.bin_files import PAIRS, unpack
from utils.cli import run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=Path, help="a set such as lfw.bin")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the images and their list")
    parser.add_argument("--flip_test", action="store_true", help="also write the mirror images, which tests embed too")
    parser.add_argument("--force", action="store_true", help="replace a folder that this program wrote before")
    args = parser.parse_args(arguments)
    written = unpack(args.bin, args.out, args.flip_test, args.force)
    print(f"{args.out}: {written.images:,} images of {written.pairs:,} pairs, listed in {PAIRS}")
    if written.encoded:
        print(f"{written.encoded:,} were neither JPEG nor PNG and are PNG now, with the same pixels")


if __name__ == "__main__":
    run_cli(main)
