"""Check OFRecord parts that another tool wrote and add what the training needs: an index per part and dataset.json.

python tools/index_ofrecord.py faces_emore/ofrecord --num_classes 85742
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from data.index_parts import index_parts
from utils.errors import UserError


def main() -> int:
    """Index a folder; the exit status: 0, 2 for what the user can put right, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with part-00000, part-00001, ...")
    parser.add_argument(
        "--num_classes", type=int, help="labels lie in [0, N) (default: from `property`, else the highest and one more)"
    )
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=int, default=cores, help=f"processes ({cores})")
    arguments = parser.parse_args()
    try:
        manifest = index_parts(arguments.folder, arguments.num_classes, arguments.workers)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; nothing is lost by running it again.", file=sys.stderr)
        return 130
    print(f"{manifest.num_records} images of {manifest.num_classes} identities in {len(manifest.parts)} parts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
