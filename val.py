"""Verifies a saved model: `python val.py CONFIG --model MODEL [key=value ...]`, on one process.

It is judged on the config's .bin sets, or on a pair list (--pairs).
"""

import argparse
import os
from pathlib import Path

from utils.environment import enter_environment

enter_environment()

import numpy as np

from deploy.onnx_options import NOTHING_SAID, add_onnx_options, given_options
from utils.cli import add_model, image_size, rate, run_cli
from utils.config import read_config
from utils.config.arguments import add_config, settle_config, show_notice
from utils.cpu import choose_blas_kernels
from utils.errors import UserError
from utils.pixels import USUAL_SIZE

_PURPOSE = "Verify a model on the .bin sets of a config, or on a pair list: accuracy, and TAR at a FAR."
_EXAMPLES = """
keys that count here:
  val_targets=lfw,cfp_fp  names of the .bin sets
  val_path=DIR            their folder; default: the dataset's
  output=DIR              the run whose model is verified, without --model; default: work_dirs/NAME of the config
  val_batch_size=64       images at a time
  device=cpu              default: a card, if there is one

examples:
  ./val.sh                                              # the demo's model on people that training never saw
  ./val.sh demo --model work_dirs/demo/best --out work_dirs/results
  ./val.sh --model r50.onnx val_path=/data/faces_emore val_targets=lfw,cfp_fp,agedb_30
  ./val.sh --model work_dirs/demo --pairs pairs.txt
"""


def main(arguments: list[str]) -> None:
    args = _parse(arguments)
    loaded = read_config(args.config, args.overrides, require_data=False)
    show_notice(loaded)
    cfg = loaded.cfg
    folder = cfg.val_path or cfg.ofrecord_path
    if not args.pairs and (not cfg.val_targets or not folder):
        raise UserError("there is nothing to verify on; set val_targets and val_path, the folder of the .bin sets")

    choose_blas_kernels(os.environ)
    # OneFlow takes seconds to import, so a mistake in the config is reported before.
    from evaluation.about import about_evaluation
    from evaluation.embed import describe, embed
    from evaluation.pairs import read_bin, read_pairs
    from evaluation.verify_pairs import describe_curve, verify_pairs

    if args.pairs:
        sets = {args.pairs.stem: read_pairs(args.pairs, args.root, args.image_size or USUAL_SIZE)}
    else:
        sets = {name: read_bin(Path(folder) / f"{name}.bin") for name in cfg.val_targets}

    if args.embeddings:
        from evaluation.saved import embeddings_of

        if len(sets) > 1:
            raise UserError(f"--embeddings are of one set; set val_targets to that one of {', '.join(sets)}")
        (pairs,) = sets.values()
        saved, model = embeddings_of(pairs.images, args.embeddings)
        saved = np.asarray(saved, np.float32)
    else:
        from deploy.embedder import load_embedder
        from deploy.model_facts import model_facts
        from utils.runtime import start_runtime

        model, options = str(args.model_path or cfg.output), given_options(args)
        embedder = load_embedder(Path(model), start_runtime(cfg.device).device, args.backend, options=options)

    print(f"{model} on {args.pairs or folder}")
    if not args.embeddings and Path(model).suffix == ".onnx":
        print(f"it takes {embedder.input} ({embedder.input_from})")
    results = {}
    facts = {} if args.embeddings else model_facts(Path(model), embedder)
    for name, pairs in sets.items():
        embeddings = saved if args.embeddings else embed(embedder, pairs.images, cfg.val_batch_size)
        data = str(args.pairs or Path(folder) / f"{name}.bin")
        about = about_evaluation(data, pairs.images.image_size, embeddings) | facts
        figures, result = verify_pairs(name, pairs, embeddings, model, args.folds, args.pca, args.out, args.fmr, about)
        results[name] = result
        print("\n".join([*describe(name, figures), *describe_curve(name, result)]))
    if not args.embeddings and not args.pca:  # components have thresholds of their own
        from deploy.embedder import model_digest
        from deploy.thresholds import store_thresholds

        print(store_thresholds(Path(model), model_digest(Path(model), options), results))
    if args.out:
        from evaluation.report import write_report

        page = write_report([args.out / f"{name}.json" for name in sets], args.out)
        print(f"{page}, with figures and pictures beside it")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="val.sh", description=_PURPOSE, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config(
        parser, "a config, which names the sets and their folder", "such as val_targets=lfw,agedb_30 val_path=DIR"
    )
    add_model(parser, ".safetensors, .onnx or a run's folder; default: its output")
    parser.add_argument(
        "--embeddings",
        type=Path,
        metavar="X.npy",
        help="embeddings of the set, made by tools/embed.py, in place of a model",
    )
    parser.add_argument(
        "--pairs", type=Path, metavar="LIST", help="a pair list, with lines `path path 0/1`, in place of .bin sets"
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="folder that the list's paths start from; default: the list's folder"
    )
    parser.add_argument(
        "--image_size", type=image_size, metavar="SIZE",
        help="size of the list's faces, 128 or 96x112 (height x width); default: 112x112",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for results (.json, .csv, .md), pictures and a page"
    )
    parser.add_argument("--folds", type=int, default=10, metavar="K", help="folds of the accuracy; default: 10")
    parser.add_argument("--pca", type=int, default=0, metavar="N", help="accuracy of N principal components")
    parser.add_argument(
        "--fmr",
        type=rate,
        default=1e-3,
        metavar="RATE",
        help="false match rate of the error-versus-reject curve (default %(default)s)",
    )
    parser.add_argument("--backend", choices=("auto", "oneflow", "onnx"), default="auto", help="what runs the model")
    add_onnx_options(parser)
    args = parser.parse_intermixed_args(arguments)
    settle_config(args)
    if args.root and not args.pairs:
        raise UserError("--root is where the paths of a pair list begin; it needs --pairs")
    if args.image_size and not args.pairs:
        raise UserError("--image_size is of a pair list's faces; .bin sets say their own, and so does the model")
    if args.embeddings and args.model_path:
        raise UserError("--embeddings take the place of a model; leave out --model_path")
    if args.embeddings and given_options(args) != NOTHING_SAID:
        raise UserError("--embeddings take the place of a model; leave out --onnx_input and --onnx_output")
    return args


if __name__ == "__main__":
    run_cli(main)
