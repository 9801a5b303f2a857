"""Evaluate a model on IJB-B or IJB-C: 1:1 verification and 1:N identification of templates.

    python tools/eval_ijb.py --data IJB_release --target IJBC --model work_dirs/demo

An interrupted embedding pass goes on where it stopped when the same command is given again. tools/make_demo_ijb.py
draws a small benchmark to try it with.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

import numpy as np

from evaluation.about import about_evaluation
from evaluation.curves import pairs_needed
from evaluation.embedding_file import load_embeddings
from evaluation.ijb import check_embeddings, evaluate_ijb, ijb_quality, ijb_result
from evaluation.ijb_meta import GALLERIES, ijb_images, load_ijb
from evaluation.results import write_result
from evaluation.templates import ALL_SETTINGS, Setting
from tools.embedding_pass import add_options, embed_together, is_rank
from utils.cli import add_model, image_size, rate, run_cli
from utils.errors import UserError
from utils.pixels import USUAL_SIZE


def main(arguments: list[str]) -> int:
    args = _parse(arguments)
    settings = ALL_SETTINGS if args.all_settings else [Setting.parse(args.setting)]
    origin = args.model_path or args.embeddings
    out = args.out or origin.with_name(f"{origin.name if origin.is_dir() else origin.stem}_ijb")
    path = args.embeddings or out / f"{args.target}.npy"

    def embed() -> int:
        images = partial(ijb_images, args.data, args.target, args.image_size)
        return embed_together(args, images, path, args.data / args.target, True, __file__, arguments)

    if is_rank():
        return embed()
    ijb = load_ijb(args.data, args.target, identification=not args.no_identification)
    counts = f"{len(ijb.names)} images, {len(ijb.template_ids)} templates, {len(ijb.first)} pairs"
    print(f"{args.target}: {counts}", flush=True)
    if args.model_path and (status := embed()):
        return status
    embeddings, about = load_embeddings(path)
    embeddings = np.asarray(embeddings, np.float32)
    model = str(args.model_path or about.get("model", path))
    check_embeddings(ijb, embeddings)
    results, quality = [], ijb_quality(ijb, embeddings)
    of = about_evaluation(str(args.data / args.target), args.image_size, embeddings)
    for setting in settings:
        results.append(ijb_result(args.target, model, evaluate_ijb(ijb, embeddings, setting, quality, args.fmr), of))
        written = write_result(results[-1], out, f"{args.target}_{setting}")
    print(f"\n{model}\n\n{_table(results)}\n\n{written} (and .csv, .md); tools/report.py draws it")
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that IJBB or IJBC is in")
    parser.add_argument("--target", choices=GALLERIES, default="IJBC", help="(default %(default)s)")
    add_model(parser, ".safetensors, .onnx or a run's folder", type=_named)
    parser.add_argument(
        "--embeddings", type=_named, metavar="X.npy", help="made by the model, or there already; default: in --out"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for results; default: beside the model, MODEL_ijb"
    )
    parser.add_argument(
        "--image_size", type=image_size, default=USUAL_SIZE, metavar="SIZE",
        help="size that faces are aligned to, 128 or 96x112 (height x width); default: 112x112, which the model scales",
    )  # fmt: skip
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--setting", default="N1D1F2", help="norm, detector's score, flip test (default %(default)s)")
    modes.add_argument("--all_settings", action="store_true", help="N and D of 0 and 1, F of 0 and 2")
    parser.add_argument(
        "--fmr",
        type=rate,
        default=1e-3,
        metavar="RATE",
        help="false match rate of the error-versus-reject curve (default %(default)s)",
    )
    parser.add_argument("--no_identification", action="store_true", help="for a release without 1:N files")
    add_options(parser)
    args = parser.parse_args(arguments)
    if not args.model_path and not args.embeddings:
        raise UserError("there is nothing to evaluate; give --model_path, or --embeddings made before")
    if args.force and not args.model_path:
        raise UserError("--force embeds again, which takes a --model_path")
    return args


def _named(text: str) -> Path:
    """A path that ends in a name, by which results are called; "." and ".." do not."""
    path = Path(text)
    return path.resolve() if path.name in ("", "..") else path


def _table(results: list[dict]) -> str:
    """A line for each setting: TAR at each FAR, and what 1:N says."""
    fars = results[0]["tar_at_far"]
    names = ["setting", *(f"TAR@{far}" for far in fars), *results[0]["identification"]]
    lines = [names]
    for result in results:
        shares = [*result["tar_at_far"].values(), *result["identification"].values()]
        lines.append([result["setting"], *("n/a" if share is None else f"{share:.2%}" for share in shares)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(field.rjust(width) for field, width in zip(line, widths, strict=True)) for line in lines]
    missing = [far for far, tar in fars.items() if tar is None]
    if missing:
        needed = ", ".join(f"{far} needs {pairs_needed(float(far)):,}" for far in missing)
        table.append(f"n/a: of different pairs there are {results[0]['pairs'] - results[0]['same']:,}; {needed}")
    if None in results[0]["identification"].values():
        searches = ", ".join(f"{each['without_mate']} in {name}" for name, each in results[0]["galleries"].items())
        table.append(f"n/a: searches without mate: {searches}; FPIR=1e-02 needs 100 in each")
    return "\n".join(table)


if __name__ == "__main__":
    run_cli(main, hard_exit=is_rank())
