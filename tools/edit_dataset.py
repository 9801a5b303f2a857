"""Make new datasets of finished ones: a subset, several merged, or one with identities held out for verification.

    python tools/edit_dataset.py subset DIR --out NEW --min_images 5 --max_images 200 --drop DIR/inspection/faults.csv
    python tools/edit_dataset.py merge A B --out NEW
    python tools/edit_dataset.py split DIR --out NEW --hold_out 500 --pairs 6000

The sources are left as they are. Images are copied, not encoded again, and a new set is there whole or not at all.
Verification sets (*.bin) come along.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

import numpy as np

from data.manifest import Manifest
from evaluation.bin_set import write_bin
from evaluation.make_bin import draw_pairs
from preparation.edit.jobs import HELD_OUT_NAME, TRAIN_NAME, Output, write_merged, write_split, write_subset
from preparation.edit.rules import Rules
from preparation.record_sets import RecordSets
from utils.cli import run_cli
from utils.errors import UserError

SEED = 2048
BIN_NAME = "held_out.bin"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_subset(commands)
    _add_merge(commands)
    _add_split(commands)
    args = parser.parse_args(arguments)
    if args.seed < 0:
        raise UserError(f"--seed {args.seed} is not possible: it must be 0 or more.")
    output = Output(args.out, args.num_part, args.force, args.workers)
    args.run(args, output)
    print(f"Done: {args.out}")


def _add_subset(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "subset", _subset, "what these rules keep; each sees what those before it left")
    parser.add_argument("source", type=Path, metavar="DIR", help="a dataset (dataset.json and parts)")
    parser.add_argument("--drop", type=Path, metavar="CSV", help="records that go: columns part,record or record alone")
    parser.add_argument("--identities", type=Path, metavar="FILE", help="labels that stay, one a line")
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the images that stays, drawn (1)")
    parser.add_argument("--min_images", type=int, default=1, help="identities with fewer go (1)")
    parser.add_argument("--num_identities", type=int, metavar="N", help="so many identities stay, drawn (all)")
    parser.add_argument("--max_images", type=int, help="images of an identity that stay, drawn (all)")
    parser.add_argument("--keep_labels", action="store_true", help="keep the identities' numbers")


def _add_merge(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "merge", _merge, "all records of several sets as one")
    parser.add_argument("sources", type=Path, nargs="+", metavar="DIR", help="datasets; the labels of each come after")
    parser.add_argument("--same_identities", action="store_true", help="a label is the same person in all; labels stay")
    mix = argparse.BooleanOptionalAction
    parser.add_argument("--shuffle", action=mix, default=True, help="mix the records of all sets (yes)")


def _add_split(commands: argparse._SubParsersAction) -> None:
    about = f"{TRAIN_NAME}/ without some identities, {HELD_OUT_NAME}/ of them, and pairs of theirs"
    parser = _add(commands, "split", _split, about)
    parser.add_argument("source", type=Path, metavar="DIR", help="a dataset (dataset.json and parts)")
    parser.add_argument("--hold_out", type=int, required=True, metavar="N", help="identities of two or more images")
    parser.add_argument("--pairs", type=int, metavar="P", help=f"also write {TRAIN_NAME}/{BIN_NAME} of so many pairs")
    parser.add_argument("--keep_labels", action="store_true", help="keep the identities' numbers")


def _add(commands: argparse._SubParsersAction, name: str, run: object, about: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
    parser.set_defaults(run=run)
    parser.add_argument("--out", type=Path, required=True, metavar="NEW", help="folder to make")
    parser.add_argument("--num_part", type=int, help="parts to write, at least one per rank (as many as the source)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"decides what is drawn or mixed ({SEED})")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument(
        "--workers", type=int, default=cores, help="processes, which change no byte (default: one per core)"
    )
    parser.add_argument("--force", action="store_true", help="replace a set that is there")
    return parser


def _subset(args: argparse.Namespace, output: Output) -> None:
    rules = Rules(
        fraction=args.fraction,
        min_images=args.min_images,
        num_identities=args.num_identities,
        max_images=args.max_images,
        seed=args.seed,
    )
    _say(write_subset(args.source, rules, output, args.drop, args.identities, args.keep_labels))


def _merge(args: argparse.Namespace, output: Output) -> None:
    _say(write_merged(args.sources, output, args.same_identities, args.seed if args.shuffle else None))


def _split(args: argparse.Namespace, output: Output) -> None:
    finish = partial(_write_pairs, args.pairs, args.seed)
    for name, made in zip(
        (TRAIN_NAME, HELD_OUT_NAME),
        write_split(args.source, args.hold_out, output, args.seed, args.keep_labels, finish),
        strict=True,
    ):
        _say(made, f"{name}: ")
    if args.pairs is not None:
        print(f"{TRAIN_NAME}/{BIN_NAME}: {args.pairs:,} pairs; verify on them with val_targets={Path(BIN_NAME).stem}")


def _write_pairs(
    pairs: int | None, seed: int, folder: Path, sets: RecordSets, records: np.ndarray, labels: np.ndarray
) -> None:
    """Write `pairs` pairs of the held-out `records` (n,) of identities `labels` (n,), where a run looks for them."""
    if pairs is None:
        return
    target = folder / TRAIN_NAME / BIN_NAME
    if target.exists():
        raise UserError(f"The set brings a {BIN_NAME} of its own; rename it, or leave --pairs out.")
    order = np.argsort(labels, kind="stable")
    people = np.split(records[order], np.flatnonzero(np.diff(labels[order])) + 1)
    drawn = draw_pairs([person.tolist() for person in people], pairs, seed)
    numbers = np.array([number for first, second, _ in drawn for number in (first, second)])
    write_bin(target, list(sets.images(numbers)), [same for _, _, same in drawn])


def _say(manifest: Manifest, name: str = "") -> None:
    parts = len(manifest.parts)
    print(f"{name}{manifest.num_records:,} images of {manifest.num_classes:,} identities in {parts} parts")


if __name__ == "__main__":
    run_cli(main)
