"""Make a training set of photographs: find each person's face, align it, and say what was left out and why.

python tools/align_dataset.py PHOTOS --out DIR             person folders in DIR/faces
python tools/align_dataset.py PHOTOS --out DIR --ofrecord  a set to train on in DIR/ofrecord

PHOTOS holds a folder of photographs for each person, PHOTOS/PERSON/FILE, in which there may be others. Of several faces
the largest and most central is taken: the one with the largest area - 2 d^2, d being the distance of its center from
the photograph's. DIR/report has a line for each photograph (photos.csv), the counts (summary.json) and a sheet of what
was left out (rejects.png). A killed run goes on with the same command.

Faces are 112x112 pixels, or what --image_size says; of another size a face fills the height in the same way.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from preparation.align.choose import Bounds
from preparation.align.run import FACES, RECORDS, REPORT, Alignment, align_photos
from recognition.detectors.cascade import CascadeDetector
from recognition.detectors.choose import CASCADE, DEFAULT, HELP
from utils.cli import image_size, run_cli
from utils.pixels import size_words


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="a folder of a folder for each person")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument("--ofrecord", action="store_true", help="write an OFRecord set in place of person folders")
    parser.add_argument("--num_part", type=int, default=96, help="parts of the set, at most one per face (%(default)s)")
    parser.add_argument("--detector", default=DEFAULT, metavar="DETECTOR", help=HELP)
    parser.add_argument(
        "--min_size",
        type=float,
        default=Bounds.min_size,
        metavar="PIXELS",
        help="pixels of the face's shorter side (%(default)s)",
    )
    parser.add_argument(
        "--min_score",
        type=float,
        default=Bounds.min_score,
        metavar="S",
        help="lowest score of the detector (%(default)s)",
    )
    parser.add_argument("--single", action="store_true", help="leave out photographs with several faces that pass")
    parser.add_argument(
        "--max_pixels", type=int, default=Alignment.max_pixels, help="larger pictures are not decoded (%(default)s)"
    )
    parser.add_argument(
        "--image_size",
        type=image_size,
        default=Alignment.image_size,
        metavar="SIZE",
        help=f"size of the faces, 128 or 96x112 (height x width); default: {size_words(Alignment.image_size)}",
    )
    cores = len(os.sched_getaffinity(0))
    parser.add_argument(
        "--workers", type=int, default=cores, help="processes, which change no byte (default: one per core)"
    )
    parser.add_argument("--force", action="store_true", help="replace what DIR holds of an alignment")
    args = parser.parse_args(arguments)
    if args.detector == CASCADE:
        print(f"warning: {CascadeDetector.warning}", file=sys.stderr)
    summary = align_photos(
        Alignment(
            args.photos,
            args.out,
            args.detector,
            Bounds(args.min_size, args.min_score, args.single),
            args.max_pixels,
            args.image_size,
            args.ofrecord,
            args.num_part,
            args.workers,
            args.force,
        )
    )
    faces, photos = _counted(summary["kept"], "face"), _counted(summary["photos"], "photograph")
    print(f"{faces} of {photos}, {summary['several_faces']} with several faces")
    people = _counted(summary["people"], "person", "people")
    print(f"{people}, {summary['people_without_a_face']} of them without a face")
    for reason, count in summary["left_out"].items():
        print(f"left out: {count:,} ({reason})")
    print(f"Done: {args.out / (RECORDS if args.ofrecord else FACES)}; report: {args.out / REPORT}")


def _counted(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or one + 's'}"


if __name__ == "__main__":
    run_cli(main, stopped="Stopped; the same command goes on where it stopped.")
