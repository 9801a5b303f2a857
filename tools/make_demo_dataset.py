"""Draw a demo dataset of faces: MXNet recordio to train on and .bin sets to verify on, with people training never sees.

python tools/make_demo_dataset.py --identities 400 --images 30 --seed 0 --out demo/faces
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

import cv2

from preparation.drawn import contact_sheet, make_demo_dataset
from utils.cli import run_cli
from utils.errors import UserError


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--identities", type=int, default=400, help="people to train on (default %(default)s)")
    parser.add_argument("--images", type=int, default=30, help="pictures of each (default %(default)s)")
    parser.add_argument("--pairs", type=int, default=600, help="pairs in each verification set (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other people (default %(default)s)")
    parser.add_argument("--workers", type=int, help="drawing processes (default: one per core)")
    parser.add_argument("--force", action="store_true", help="replace a demo dataset made with other parameters")
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="also write a sheet to look at: a row for each person"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    args = parse(arguments)
    if args.sheet and not (args.sheet.suffix == ".png" and args.sheet.parent.is_dir()):
        raise UserError(f"The sheet cannot be written to {args.sheet}: give a .png in a folder that exists.")
    made = make_demo_dataset(args.out, args.identities, args.images, args.seed, args.pairs, args.workers, args.force)
    print(f"{args.out}: {'written' if made else 'already there, left as it is'}.")
    if args.sheet:
        png = cv2.imencode(".png", contact_sheet(args.seed))[1]
        try:
            args.sheet.write_bytes(png.tobytes())
        except OSError as error:
            raise UserError(f"The sheet cannot be written to {args.sheet}: {error.strerror}.") from error
        print(f"{args.sheet}: 8 people, 10 pictures of each.")


if __name__ == "__main__":
    run_cli(main)
