"""Drop the images of a converted dataset that most likely show somebody else than their label says.

    python tools/clean_dataset.py datasets/people --checkpoint work_dirs/subcenter --out datasets/people_clean
    python tools/clean_dataset.py datasets/people --model work_dirs/r50 --out datasets/people_clean

Every image, embedded without flip, votes for the nearest center of its class. The center with the most votes is the
dominant one; images of 75 degrees or more from it go (--angle), and so do identities without images. With
--checkpoint the centers are those that the run trained, best with centers_per_class=3; with --model_path, or with
--embeddings alone, they are class means, one a class.

--out is a dataset to train on. Its folder cleaning/ holds summary.json, counts.csv (images, kept and dropped of each
class), dropped.csv, dropped.png and angles.png; and two lists to review: merge.csv of identities that seem to be the
same person, split.csv of those that seem to be two. Delete the lines that are wrong, then apply the rest to the same
dataset:

    python tools/clean_dataset.py datasets/people --checkpoint work_dirs/subcenter --out datasets/people_merged \\
        --embeddings datasets/people_clean-embeddings.npy --merge datasets/people_clean/cleaning/merge.csv

The embeddings are kept beside --out, as NAME-embeddings.npy. Interrupted, the same command goes on where it stopped.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

import numpy as np

from data.manifest import MANIFEST_NAME
from evaluation.embedding_file import load_embeddings
from evaluation.saved import embeddings_of
from evaluation.sources import RecordImages
from preparation.clean.job import Limits, Lists, review_files, write_cleaned
from preparation.edit.jobs import Output
from preparation.record_sets import RecordSets
from tools.embedding_pass import add_options, embed_together, is_rank
from utils.cli import add_model, run_cli
from utils.cpu import choose_blas_kernels
from utils.errors import UserError
from utils.folders import refuse_output
from utils.interrupts import interrupts_kept


class CheckpointCenters:
    """The class centers of a checkpoint, whole and of `num_classes` classes, or a UserError says why not."""

    def __init__(self, folder: Path, num_classes: int) -> None:
        choose_blas_kernels(os.environ)  # before OneFlow is imported
        with interrupts_kept():
            from engine.checkpoint import Checkpoint
            from utils.runtime import start_runtime

        checkpoint = Checkpoint(folder, start_runtime("cpu", False))
        trained = checkpoint.about["num_classes"]
        if trained != num_classes:
            raise UserError(f"{folder} was trained on {trained} identities, and the dataset has {num_classes}")
        self._centers, self.size = checkpoint.centers(), checkpoint.about["embedding_size"]
        self.per_class = self.read(0, 1).shape[1]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Of classes [start, stop): (stop - start, per_class, E); without biases and a loss's parameters behind it."""
        rows = self._centers.read("weight", start, stop)
        return (rows if rows.ndim == 3 else rows[:, None])[..., : self.size]


def main(arguments: list[str]) -> int:
    os.environ.setdefault("GLOG_minloglevel", "3")  # OneFlow complains of missing cards
    args = _parse(arguments)
    limits = Limits(args.angle, args.duplicate_angle, args.mixed_angle, args.mixed_share)
    output = Output(args.out, args.num_part, args.force, args.workers)
    path = args.embeddings or args.out.with_name(f"{args.out.name}-embeddings.npy")
    if args.checkpoint:
        args.checkpoint = _newest(args.checkpoint)
    args.model_path = args.model_path or args.checkpoint
    if not is_rank():  # what can be refused is refused before hours of embedding
        sets = RecordSets(args.source)
        refuse_output(args.out, [args.source], args.force, MANIFEST_NAME)
        classes = sets.manifests[0].num_classes
        lists = Lists.read(args.merge, args.split, classes)
        centers = CheckpointCenters(args.checkpoint, classes) if args.checkpoint else None
    if args.embeddings is None:
        status = embed_together(
            args, lambda: RecordImages(args.source), path, args.source, False, __file__, arguments
        )  # fmt: skip
        if status or is_rank():
            return status
    embeddings, model = embeddings_of(RecordImages(args.source), path)
    if centers:
        _refuse_other_model(path, args.checkpoint, embeddings.shape[-1], centers.size)
    about = {"model": model, "centers": str(args.checkpoint) if centers else "class means"}
    made, summary = write_cleaned(sets, embeddings, centers, limits, lists, output, about, args.rows)
    _say(args, summary)
    print(f"{made.num_records:,} images of {made.num_classes:,} identities in {len(made.parts)} parts")
    print(f"Done: {args.out}")
    return 0


def _newest(folder: Path) -> Path:
    """A checkpoint, or the newest of a run's folder. Raises UserError where there is none."""
    inside = folder / "checkpoints"
    if not inside.is_dir():
        return folder
    choose_blas_kernels(os.environ)  # before OneFlow is imported
    with interrupts_kept():
        from engine.checkpoint import list_checkpoints

    checkpoints = list_checkpoints(inside)
    if not checkpoints:
        raise UserError(f"{inside} holds no checkpoint")
    return checkpoints[-1]


def _refuse_other_model(path: Path, checkpoint: Path, size: int, wanted: int) -> None:
    """Embeddings of another model say nothing of this one's centers."""
    with interrupts_kept():
        from deploy.embedder import model_digest

    digest = load_embeddings(path, verify=False)[1].get("model_digest")
    if size != wanted or (digest and digest != model_digest(checkpoint)):
        raise UserError(f"{path} holds embeddings of another model than {checkpoint}; embed with that checkpoint")


def _say(args: argparse.Namespace, summary: dict) -> None:
    share = summary["dropped"] / summary["images"]
    print(f"{summary['dropped']:,} of {summary['images']:,} images dropped ({share:.1%}), by {summary['centers']}")
    print(f"{summary['identities'] - summary['identities_left']} of {summary['identities']:,} identities fewer")
    merge, split = review_files(args.out)
    print(f"To review: {summary['duplicates']:,} pairs to merge in {merge}, {summary['mixed']:,} to split in {split}")
    if summary["duplicates_listed"] < summary["duplicates"]:
        print(f"Listed are the nearest {summary['duplicates_listed']} pairs; a smaller --duplicate_angle finds fewer")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", type=Path, metavar="DATASET", help="dataset.json and parts")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--checkpoint", type=Path, metavar="RUN", help="a checkpoint, or a run's folder for its newest")
    add_model(parser, "class means by .safetensors, .onnx or a run")
    parser.add_argument(
        "--embeddings", type=Path, metavar="X.npy", help="embeddings of the dataset, by tools/embed.py or this"
    )
    usual = Limits()
    parser.add_argument(
        "--angle", type=float, default=usual.angle,
        help="images of so many degrees or more from the dominant center go (%(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--duplicate_angle", type=float, default=usual.duplicate_angle,
        help="list identities whose centers are nearer than that (%(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--mixed_angle", type=float, default=usual.mixed_angle,
        help="list identities of which two centers are farther apart than that (%(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--mixed_share", type=float, default=usual.mixed_share,
        help="and have each at least this share of the votes (%(default)g)",
    )  # fmt: skip
    parser.add_argument("--merge", type=Path, metavar="CSV", help="a reviewed list: label,other are one person")
    parser.add_argument("--split", type=Path, metavar="CSV", help="a reviewed list: each label is two people")
    parser.add_argument("--rows", type=int, default=40, help="identities on the sheet; 0: no sheet (%(default)s)")
    parser.add_argument("--num_part", type=int, help="parts to write, at least one per rank (as many as DATASET)")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=int, default=cores, help="processes that write (default: one per core)")
    add_options(parser)
    args = parser.parse_args(arguments)
    if args.model_path and (args.checkpoint or args.embeddings):
        raise UserError("--model_path is for class means; --checkpoint and --embeddings take its place")
    if not (args.model_path or args.checkpoint or args.embeddings):
        raise UserError("give --checkpoint (a run with sub-centers), --model_path or --embeddings")
    if args.rows < 0:
        raise UserError(f"--rows {args.rows} is not possible: it must be 0 (no sheet) or more")
    return args


if __name__ == "__main__":
    run_cli(main, hard_exit=is_rank(), stopped="Stopped; the same command goes on where it stopped.")
