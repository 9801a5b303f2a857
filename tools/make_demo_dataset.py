"""Draw a demo dataset of faces: MXNet recordio to train on and .bin sets to verify on, with people training never sees.

    python tools/make_demo_dataset.py --identities 400 --images 30 --seed 0 --out demo/faces

A harder one, in which recipes differ: light and color that tell less, pictures of low quality, a long tail of people
with few pictures, and wrong labels. Those are listed in wrong_labels.csv, by the picture's key in train.rec, so that
cleaning can be judged; converted with --no-shuffle, key n is record n - 1.

    python tools/make_demo_dataset.py --images 45 --long_tail 6 --light 1.5 --low_quality 0.3 --wrong_labels 0.2 \\
        --pairs 4000 --out demo/harder
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

import cv2

from data.drawn import USUAL
from preparation.drawn import DemoParameters, contact_sheet, make_demo_dataset
from utils.cli import image_size, run_cli
from utils.errors import UserError


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--identities", type=int, default=400, help="people to train on (default %(default)s)")
    parser.add_argument(
        "--images",
        type=int,
        default=30,
        help="pictures of each, or of the first with a long tail (default %(default)s)",
    )
    parser.add_argument("--pairs", type=int, default=600, help="pairs in each verification set (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other people (default %(default)s)")
    usual = DemoParameters(2, 1, 0, 40)
    parser.add_argument(
        "--light", type=float, default=usual.light, metavar="FACTOR",
        help="factor of what light and color change from picture to picture, in verification too (default %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--low_quality", type=float, default=usual.low_quality, metavar="SHARE",
        help="share of pictures far out of focus, of few pixels or largely covered, in verification too (default none)",
    )  # fmt: skip
    parser.add_argument(
        "--long_tail", type=float, default=usual.long_tail, metavar="FACTOR",
        help="the first person has --images, so many times those of the last one; falling from each to the next by the "
        "same factor (default 1: all have as many)",
    )  # fmt: skip
    parser.add_argument(
        "--wrong_labels", type=float, default=usual.wrong_labels, metavar="SHARE",
        help="share of the pictures in train.rec that are under somebody else's label (default none)",
    )  # fmt: skip
    parser.add_argument(
        "--image_size", type=image_size, default=usual.image_size, metavar="SIZE",
        help="size of all pictures, 128 or 96x112 (height x width), scaled from 112x112 (default)",
    )  # fmt: skip
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
    parameters = DemoParameters(
        args.identities,
        args.images,
        args.seed,
        args.pairs,
        light=args.light,
        low_quality=args.low_quality,
        long_tail=args.long_tail,
        wrong_labels=args.wrong_labels,
        image_size=args.image_size,
    )
    made = make_demo_dataset(args.out, parameters, args.workers, args.force)
    print(f"{args.out}: {'written' if made else 'already there, left as it is'}.")
    if args.sheet:
        png = cv2.imencode(".png", contact_sheet(args.seed, level=parameters.level(USUAL)))[1]
        try:
            args.sheet.write_bytes(png.tobytes())
        except OSError as error:
            raise UserError(f"The sheet cannot be written to {args.sheet}: {error.strerror}.") from error
        print(f"{args.sheet}: 8 people, 10 pictures of each.")


if __name__ == "__main__":
    run_cli(main)
