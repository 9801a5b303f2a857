"""Make a verification set of one's own images, in InsightFace's .bin format.

    python tools/make_bin.py PEOPLE --out work_dirs/mine.bin --pairs 600
    python tools/make_bin.py pairs.txt --out work_dirs/mine.bin

PEOPLE is a folder that holds one folder of aligned images for each person; pairs are drawn from them, as many
of one person as of two in each of the ten folds. A list, lines of `path path 0/1`, gives its pairs in its own order.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from evaluation.bin_set import write_bin
from evaluation.make_bin import EncodedImages, Pair, draw_pairs, people_in
from evaluation.pairs import read_pairs
from evaluation.verification import FOLDS
from utils.cli import image_size, run_cli
from utils.errors import UserError
from utils.pixels import USUAL_SIZE, size_words

PAIRS, SEED = 6000, 0


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "source", type=Path, metavar="PEOPLE", help="folder of a folder for each person, or a list of pairs"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.bin", help="the set to write")
    parser.add_argument(
        "--pairs", type=int, help=f"pairs to draw, a multiple of {2 * FOLDS}; default {PAIRS}, as LFW has"
    )
    parser.add_argument("--seed", type=int, help=f"another one draws other pairs; default {SEED}")
    parser.add_argument("--disjoint", action="store_true", help="nobody is in more than one fold")
    parser.add_argument(
        "--image_size", type=image_size, default=USUAL_SIZE, metavar="SIZE",
        help="size of all images, 128 or 96x112 (height x width); default: 112x112",
    )  # fmt: skip
    parser.add_argument("--resize", action="store_true", help="scale images of another size, instead of refusing them")
    parser.add_argument("--force", action="store_true", help="replace a set that is there")
    args = parser.parse_args(arguments)
    if args.out.suffix != ".bin" or not args.out.absolute().parent.is_dir():
        raise UserError(f"the set cannot be written to {args.out}: give a .bin in a folder that exists")
    if args.out.exists() and not args.force:
        raise UserError(f"{args.out} exists; --force replaces it, or give another --out")

    pairs = _pairs(args)
    reader = EncodedImages(args.resize, args.image_size)
    images = reader.read([file for first, second, _ in pairs for file in (first, second)])
    issame = [same for _, _, same in pairs]
    try:
        write_bin(args.out, images, issame)
    except OSError as error:
        raise UserError(f"{args.out} cannot be written: {error.strerror}") from error
    distinct = len({file for first, second, _ in pairs for file in (first, second)})
    print(f"{args.out}: {len(pairs):,} pairs, {sum(issame):,} of them of one person, of {distinct:,} images")
    if reader.resized:
        size = size_words(args.image_size)
        print(f"{len(reader.resized):,} images were not {size} and are scaled, such as {reader.resized[0]}")
    if encoded := len(reader.converted) - len(reader.resized):
        print(f"{encoded:,} were neither JPEG nor PNG and are PNG now, with the same pixels")


def _pairs(args: argparse.Namespace) -> list[Pair]:
    if args.source.is_dir():
        pairs = PAIRS if args.pairs is None else args.pairs
        seed = SEED if args.seed is None else args.seed
        if seed < 0:
            raise UserError(f"--seed {seed} is not possible: it must be 0 or more")
        return draw_pairs(list(people_in(args.source).values()), pairs, seed, disjoint=args.disjoint)
    if not args.source.is_file():
        raise UserError(f"there is neither a folder of people nor a list of pairs at {args.source}")
    if args.disjoint or args.pairs is not None or args.seed is not None:
        raise UserError(f"{args.source} lists its own pairs; --pairs, --seed and --disjoint are for a folder of people")
    listed = read_pairs(args.source)
    files = [listed.images.root / file for file in listed.images.files]
    return [
        (files[first], files[second], bool(same))
        for (first, second), same in zip(listed.pairs, listed.issame, strict=True)
    ]


if __name__ == "__main__":
    run_cli(main)
