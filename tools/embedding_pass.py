"""The embedding pass inside a program: its options, and the processes that share it. No program itself."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from deploy.onnx_options import add_onnx_options, given_options
from deploy.weights import WEIGHTS
from evaluation.embedding_file import refuse_other_names, remove_embeddings
from evaluation.sources import ImageSource
from launch.gpu import usable_cards
from launch.launcher import main as launch
from utils.cpu import choose_blas_kernels
from utils.errors import UserError
from utils.interrupts import interrupts_kept
from utils.pixels import size_words
from utils.reading.limits import limit_options, limits


def add_options(parser: argparse.ArgumentParser) -> None:
    """For the parser, which must not allow abbreviations."""
    parser.add_argument("--batch_size", type=_positive, help="images at a time; default: what suits the device")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument(
        "--backend", choices=("auto", "oneflow", "onnx"), default="auto",
        help="auto: ONNX Runtime on a CPU, OneFlow on a card",
    )  # fmt: skip
    add_onnx_options(parser)
    parser.add_argument("--nproc", type=_positive, help="processes that share the work; default: one for each card")
    parser.add_argument("--force", action="store_true", help="start over, and replace embeddings of something else")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not possible: it must be 1 or more")
    return int(text)


def is_rank() -> bool:
    """Whether this process is one of several that share the pass."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def embed_together(
    args: argparse.Namespace,
    images: Callable[[], ImageSource],
    path: Path,
    source: Path,
    flip: bool,
    script: str,
    arguments: list[str],
    dtype: str = "float32",
) -> int:
    """Writes the embeddings of `images()` by `args.model_path` to `path`, as `dtype`; the exit status.

    args: with the options above; source: what the images are, for a person; script and arguments: the program's own,
    as which further processes are started. Those come here too, and do their shares.
    """
    os.environ.setdefault("GLOG_minloglevel", "3")  # OneFlow complains of missing cards, also in the ranks
    if is_rank():
        _embed_share(args, images, path, source, flip, dtype)
        return 0
    # Told before OneFlow takes seconds to import, and before anything is removed.
    refuse_other_names(path)
    weights = args.model_path / WEIGHTS if args.model_path.is_dir() else args.model_path
    if not weights.is_file():
        raise UserError(f"there is no model at {weights}; train one first, or say where it is with --model_path")
    cards = [] if args.device == "cpu" else usable_cards(os.environ.get("CUDA_VISIBLE_DEVICES"))[0]
    ranks = args.nproc or len(cards) or 1
    if args.force:
        images().digest()  # nothing is removed where images are missing
        remove_embeddings(path)
    if ranks == 1:
        _embed_share(args, images, path, source, flip, dtype, bool(cards))
        return 0
    handed_on = [*(word for word in arguments if word != "--force"), *limit_options(limits())]
    return launch(["--nproc", str(ranks), script, *handed_on], os.environ)


def _embed_share(
    args: argparse.Namespace,
    images: Callable[[], ImageSource],
    path: Path,
    source: Path,
    flip: bool,
    dtype: str,
    has_cards: bool = True,
) -> None:
    """This rank's share of the images; all of them where there is one."""
    opened = images()
    digest = opened.digest()  # a missing file is reported before OneFlow takes seconds to import
    choose_blas_kernels(os.environ)
    with interrupts_kept():
        from deploy.embedder import load_embedder, model_digest
        from evaluation.embed import embed_to_file
        from utils.runtime import start_runtime

        runtime = start_runtime(args.device, has_cards)
    threads = os.environ.get("OMP_NUM_THREADS", "")  # each rank's share of the cores, when there are several
    options = given_options(args)
    embedder = load_embedder(
        args.model_path, runtime.device, args.backend, int(threads) if threads.isdigit() else None, options
    )
    if runtime.is_main and args.model_path.suffix == ".onnx":
        print(f"{args.model_path} takes {embedder.input} ({embedder.input_from})", flush=True)
    if runtime.is_main and opened.image_size != embedder.input.size:
        held, taken = map(size_words, (opened.image_size, embedder.input.size))
        print(f"faces of {held} pixels are scaled to the {taken} that the model takes", flush=True)
    about = {
        "source": str(source.resolve()),
        "model": str(args.model_path.resolve()),
        "backend": embedder.backend,
        "digest": digest,
        "model_digest": model_digest(args.model_path, options),
    }
    batch = args.batch_size or embedder.batch_size
    shared = {"rank": runtime.rank, "ranks": runtime.ranks, "show": runtime.is_main}
    embed_to_file(embedder, opened, path, about, batch, flip, **shared, dtype=dtype)
