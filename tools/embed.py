"""Embed images with a model: python tools/embed.py SOURCE --model_path MODEL --out X.npy

SOURCE is a folder of aligned faces, a list file (a path a line), a .bin set or a converted dataset. X.npy then holds
(images, 2, length) float32, each image's embedding and its mirror image's; X.json says what they are. Interrupted, the
same command goes on where it stopped.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from evaluation.embedding_file import load_embeddings, remove_embeddings
from evaluation.sources import open_source
from utils.cli import run_cli
from utils.cpu import choose_blas_kernels
from utils.errors import UserError
from utils.gpu import usable_cards
from utils.launch import main as launch

_BACKENDS = ("auto", "oneflow", "onnx")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("--model_path", type=Path, required=True, help=".safetensors, .onnx or a run's folder")
    parser.add_argument("--out", type=Path, required=True, metavar="X.npy")
    parser.add_argument("--root", type=Path, help="what a list's paths are relative to; default: the list's folder")
    parser.add_argument(
        "--no-flip", dest="flip", action="store_false", help="without mirror images: (images, 1, length)"
    )
    parser.add_argument("--batch_size", type=int, help="images at a time; default: what suits the device")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument(
        "--backend", choices=_BACKENDS, default="auto", help="auto: ONNX Runtime on a CPU, OneFlow on a card"
    )
    parser.add_argument("--nproc", type=int, help="processes that share the work; default: one for each usable card")
    parser.add_argument("--force", action="store_true", help="start anew, and replace embeddings of something else")
    args = parser.parse_args(arguments)
    for name in ("batch_size", "nproc"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value} is not possible: there must be at least one")
    return args


def main(arguments: list[str]) -> int:
    args = parse(arguments)
    if is_rank():
        embed_share(args)
        return 0
    cards = [] if args.device == "cpu" else usable_cards(os.environ.get("CUDA_VISIBLE_DEVICES"))[0]
    nproc = args.nproc or len(cards) or 1
    if args.force:
        open_source(args.source, args.root).digest()  # nothing is removed for a source that is not there
        remove_embeddings(args.out)
    if nproc == 1:
        embed_share(args, bool(cards))
    else:
        ranks = ["--nproc", str(nproc), __file__, *(word for word in arguments if word != "--force")]
        if status := launch(ranks, os.environ):
            return status
    embeddings, about = load_embeddings(args.out)
    print(f"{args.out}: {embeddings.shape} float32 of {about['source']} by {about['model']} ({about['backend']})")
    return 0


def is_rank() -> bool:
    """Whether this is one of several processes, started by `main` or by utils.launch."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def embed_share(args: argparse.Namespace, usable_cards: bool = True) -> None:
    """This rank's share of the images; all of them where there is one."""
    source = open_source(args.source, args.root)
    digest = source.digest()  # a missing file is told before OneFlow takes seconds to import
    choose_blas_kernels(os.environ)
    from deploy.embedder import load_embedder, model_digest
    from evaluation.embed import embed_to_file
    from utils.runtime import start_runtime

    runtime = start_runtime(args.device, usable_cards)
    threads = os.environ.get("OMP_NUM_THREADS", "")  # each rank's share of the cores, when there are several
    embedder = load_embedder(args.model_path, runtime.device, args.backend, int(threads) if threads.isdigit() else None)
    about = {
        "source": str(args.source.resolve()),
        "model": str(args.model_path.resolve()),
        "backend": embedder.backend,
        "digest": digest,
        "model_digest": model_digest(args.model_path),
    }
    embed_to_file(
        embedder, source, args.out, about, args.batch_size or embedder.batch_size, args.flip, runtime.rank,
        runtime.ranks, show=runtime.is_main,
    )  # fmt: skip


if __name__ == "__main__":
    run_cli(main, hard_exit=is_rank())
