"""Look a converted dataset over: is it whole, how many images has an identity, and what do they look like?

python tools/inspect_dataset.py datasets/my_faces/ofrecord --verify --duplicates

Exit status: 0 where all is well, 1 where something is wrong (the lists say what), 2 where it cannot be inspected.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from preparation.inspect.dataset import DUPLICATES, FAULTS, inspect_set
from utils.cli import run_cli


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a dataset (dataset.json and parts)")
    parser.add_argument("--verify", action="store_true", help="decode every image fully, not only its header")
    parser.add_argument("--duplicates", action="store_true", help="look for one picture under several identities")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the report (DIR/inspection)")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=int, default=cores, help="processes (default: one per core)")
    args = parser.parse_args(arguments)
    report = args.out or args.folder / "inspection"
    inspection = inspect_set(args.folder, report, args.workers, args.verify, args.duplicates)
    summary = inspection.summary
    print(f"{summary['images']:,} images of {summary['identities']:,} identities in {summary['parts']} parts")
    print(f"{summary['bytes'] / 1e6:.1f} MB; {summary['identities_without_images']} identities without images")
    for name, unit in (("images_per_identity", "images per identity"), ("bytes_per_image", "bytes per image")):
        if spread := summary[name]:
            print(f"{unit}: " + ", ".join(f"{key} {value:g}" for key, value in spread.items()))
    if args.duplicates:
        print(
            f"{inspection.groups} pictures under several identities" + _listed(inspection.groups, report / DUPLICATES)
        )
    print(f"{inspection.faults} faults" + _listed(inspection.faults, report / FAULTS))
    print(f"Report: {report} ({', '.join(inspection.files)})")
    return 1 if inspection.faults or inspection.groups else 0


def _listed(count: int, path: Path) -> str:
    return f", listed in {path}" if count else ""


if __name__ == "__main__":
    run_cli(main)
