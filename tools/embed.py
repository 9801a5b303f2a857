"""Embed images with a model: python tools/embed.py SOURCE --model MODEL --out X.npy

SOURCE is a folder of aligned faces, a list file (a path a line, in double quotes if it holds blanks), a .bin set or a
converted dataset. X.npy then holds (images, 2, length) float32, each image's embedding and its mirror image's; X.json
says what they are. Interrupted, the same command goes on where it stopped.

Those of a converted dataset, by record, are a teacher to distill: train with loss="arcface + 7 * distillation" and
teacher=X.npy. With --dtype float16 they take 2 KiB for each image of 512 numbers and two views.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from evaluation.embedding_file import DTYPES, load_embeddings
from evaluation.pairs import read_pairs
from evaluation.sources import ImageSource, open_source
from tools.embedding_pass import add_options, embed_together, is_rank
from utils.cli import add_model, image_size, run_cli
from utils.pixels import USUAL_SIZE


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=Path, metavar="SOURCE")
    add_model(parser, ".safetensors, .onnx or a run's folder", required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="X.npy")
    parser.add_argument("--root", type=Path, help="what a list's paths are relative to; default: the list's folder")
    parser.add_argument(
        "--image_size", type=image_size, metavar="SIZE",
        help="size of the faces, 128 or 96x112 (height x width); default: as a set says, or 112x112 of image files",
    )  # fmt: skip
    parser.add_argument("--pairs", action="store_true", help="SOURCE is a list of pairs, for val.py --pairs")
    parser.add_argument(
        "--no-flip", dest="flip", action="store_false", help="without mirror images: (images, 1, length)"
    )
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="type of X.npy; default: %(default)s")
    add_options(parser)
    args = parser.parse_args(arguments)

    def images() -> ImageSource:
        if args.pairs:
            return read_pairs(args.source, args.root, args.image_size or USUAL_SIZE).images
        return open_source(args.source, args.root, args.image_size)

    status = embed_together(args, images, args.out, args.source, args.flip, __file__, arguments, args.dtype)
    if status == 0 and not is_rank():
        embeddings, about = load_embeddings(args.out)
        what = f"{embeddings.shape} {embeddings.dtype} of {about['source']} by {about['model']}"
        print(f"{args.out}: {what} ({about['backend']})")
    return status


if __name__ == "__main__":
    run_cli(main, hard_exit=is_rank())
