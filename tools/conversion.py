"""What the converters to OFRecord share: their options, and what they tell their user."""

import argparse
import os
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager

from preparation.convert.to_ofrecord import SKIPPED_NAME, Settings, convert
from preparation.workers import worker_pool
from utils.cli import image_size
from utils.pixels import USUAL_SIZE, size_words

_SENT = 128  # more than most clusters have cores, few enough to wait for
LABEL_HELP = (
    "which member of a WebDataset's sample holds the label: cls, txt or json:FIELD "
    "(default: the one that is there, of a .json the field label)"
)
STOPPED = "Stopped; the same command goes on where it stopped."


def add_options(parser: argparse.ArgumentParser, on_spark: bool = False) -> None:
    """The options that say how to convert, by the names of `Settings`; on_spark: `workers` are tasks of Spark."""
    parser.add_argument(
        "--num_part", type=int, help="parts to write, at least one per rank (96, or one per image if there are fewer)"
    )
    parser.add_argument(
        "--shuffle", action=argparse.BooleanOptionalAction, default=True, help="mix the records over the parts (yes)"
    )
    parser.add_argument("--seed", type=int, default=2048, help="decides the order of the records (2048)")
    if on_spark:
        help = f"tasks sent to Spark at once; it runs as many as it has cores for ({_SENT})"
        parser.add_argument("--workers", type=int, default=_SENT, help=help)
    else:
        cores = len(os.sched_getaffinity(0))
        help = "processes, which change no byte (default: one per core)"
        parser.add_argument("--workers", type=int, default=cores, help=help)
    parser.add_argument(
        "--image_size",
        type=image_size,
        metavar="SIZE",
        help="size of the images, 128 or 96x112 (height x width); default: as the set says, or 112x112 of image files",
    )
    parser.add_argument("--force", action="store_true", help="replace what the output folder holds")
    parser.add_argument("--strict", action="store_true", help="stop where an image would be repaired or skipped")
    parser.add_argument("--verify", action="store_true", help="decode every image fully, not only its header")


def run_conversion(settings: Settings, pool: Callable[[int], AbstractContextManager[Executor]] = worker_pool) -> None:
    """Convert by the processes that `pool` gives, and say what was done. Raises UserError."""
    manifest = convert(settings, pool)
    where = f", listed in {settings.output / SKIPPED_NAME}" if manifest.skipped else ""
    print(f"{manifest.num_records:,} images of {manifest.num_classes:,} identities in {len(manifest.parts)} parts")
    if manifest.image_size != USUAL_SIZE:
        print(f"Images are {size_words(manifest.image_size)}; networks that train on them take that size by default")
    print(f"{manifest.repaired:,} repaired by re-encoding, {manifest.skipped:,} skipped{where}")
    print(f"Done: {settings.output}")
