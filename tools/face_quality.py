"""Score faces by the magnitude of their embeddings: python tools/face_quality.py SOURCE --model MODEL --out DIR

SOURCE is a folder of aligned faces, a list file, a .bin set or a converted dataset. DIR then holds quality.csv (the
worst face first), sheet.png (faces from the worst to the best), histogram.png and the embeddings, without flip.
Interrupted, the same command goes on where it stopped.

Magnitude says most about quality if the model was trained with MagFace. To fine-tune one with MagFace, add --magface:
it prints the loss whose range holds the magnitudes that were measured.

    python tools/face_quality.py datasets/people --model work_dirs/r50 --out work_dirs/quality --magface
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

import numpy as np

from evaluation.quality import magnitudes
from evaluation.quality_files import write_quality
from evaluation.saved import embeddings_of
from evaluation.sources import open_source
from tools.embedding_pass import add_options, embed_together, is_rank
from utils.cli import add_model, image_size, run_cli
from utils.errors import UserError

_LOWEST_MARGIN = {"magface": 0.45, "magcosface": 0.35}  # the paper's l_m


def main(arguments: list[str]) -> int:
    args = _parse(arguments)
    path = args.embeddings or args.out / "embeddings.npy"
    opened = partial(open_source, args.source, args.root, args.image_size)
    if args.model_path:
        status = embed_together(args, opened, path, args.source, False, __file__, arguments)
        if status or is_rank():
            return status
    images = opened()
    embeddings, model = embeddings_of(images, path)
    quality = magnitudes(embeddings)
    if not np.isfinite(quality).all():
        raise UserError(f"{path} holds NaN or infinity for {images.name(int(np.argmin(np.isfinite(quality))))}")
    written = write_quality(images, quality, args.out, args.faces)
    print(f"{len(quality):,} faces of {args.source} by {model}")
    low, middle, high = np.percentile(quality, (5, 50, 95))
    print(f"|x|: {quality.min():.4g} to {quality.max():.4g}; 5 % {low:.4g}, median {middle:.4g}, 95 % {high:.4g}")
    if args.magface:
        print("\n".join(_advice(args, quality)))
    print(f"Written: {', '.join(map(str, written))}")
    return 0


def _advice(args: argparse.Namespace, quality: np.ndarray) -> list[str]:
    """What to fine-tune with."""
    from losses.magnitude_range import propose_range  # brings OneFlow

    l_m = _LOWEST_MARGIN[args.magface] if args.l_m is None else args.l_m
    proposal = propose_range(quality, l_m, args.u_m, args.s)
    least = proposal.least_lambda
    lines = [
        f"lambda_g must be at least {least:.4g} for l_a = {proposal.l_a:g}, u_a = {proposal.u_a:g}, s = {args.s:g}"
    ]
    if args.lambda_g is not None and args.lambda_g < least:
        lines.append(f"lambda_g = {args.lambda_g:g} is below that: magnitudes may fall to l_a")
    lambda_g = proposal.proposed_lambda if args.lambda_g is None else args.lambda_g
    return [*lines, f"'loss={proposal.loss(args.magface, lambda_g)}'"]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=Path, metavar="SOURCE")
    add_model(parser, ".safetensors, .onnx or a run's folder")
    parser.add_argument(
        "--embeddings",
        type=Path,
        metavar="X.npy",
        help="embeddings of the faces, by tools/embed.py, in place of a model",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--root", type=Path, help="what a list's paths are relative to; default: the list's folder")
    parser.add_argument(
        "--image_size", type=image_size, metavar="SIZE",
        help="size of the faces, 128 or 96x112 (height x width); default: as a set says, or 112x112 of image files",
    )  # fmt: skip
    parser.add_argument(
        "--faces",
        type=int,
        default=120,
        metavar="N",
        help="on the sheet, at even steps through the order (%(default)s)",
    )
    recipe = parser.add_argument_group("the recipe for fine-tuning with MagFace")
    recipe.add_argument(
        "--magface", nargs="?", const="magface", choices=tuple(_LOWEST_MARGIN),
        help="print the loss to fine-tune with: magface, or its CosFace form",
    )  # fmt: skip
    recipe.add_argument("--l_m", type=float, help="margin at the smallest magnitude (0.45; magcosface 0.35)")
    recipe.add_argument("--u_m", type=float, default=0.8, help="margin at the largest (%(default)s)")
    recipe.add_argument("--s", type=float, default=64.0, help="scale of the logits (%(default)s)")
    recipe.add_argument("--lambda_g", type=float, help="weight of the penalty; default: the least, rounded up")
    add_options(parser)
    args = parser.parse_args(arguments)
    if bool(args.model_path) == bool(args.embeddings):
        raise UserError("give either --model_path or --embeddings, which take the place of a model")
    if args.faces < 0:
        raise UserError(f"--faces {args.faces} is not possible: it must be 0 (no sheet) or more")
    if args.force and args.embeddings:
        raise UserError("--force embeds again, which takes a --model_path")
    return args


if __name__ == "__main__":
    run_cli(main, hard_exit=is_rank())
