"""Convert a set of MXNet recordio (train.rec, train.idx, property) into OFRecord parts for training.

python tools/mx_recordio_2_ofrecord.py --data_dir faces_emore --output_filepath faces_emore/ofrecord
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from data.convert import SKIPPED_NAME, Settings, convert
from utils.errors import UserError


def main() -> int:
    """Run the converter; the exit status: 0, 2 for what the user can put right, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with train.rec, train.idx and property")
    parser.add_argument("--output_filepath", type=Path, required=True, help="folder to write the parts into")
    parser.add_argument("--num_part", type=int, default=96, help="parts to write, at least one per rank (96)")
    parser.add_argument(
        "--shuffle", action=argparse.BooleanOptionalAction, default=True, help="mix the records over the parts (yes)"
    )
    parser.add_argument("--seed", type=int, default=2048, help="decides the order of the records (2048)")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--workers", type=int, default=cores, help=f"processes; bytes do not depend on it ({cores})")
    parser.add_argument("--force", action="store_true", help="replace what the output folder holds")
    parser.add_argument("--strict", action="store_true", help="stop where an image would be repaired or skipped")
    parser.add_argument("--verify", action="store_true", help="decode every image fully, not only its header")
    values = vars(parser.parse_args())
    settings = Settings(source=values.pop("data_dir"), output=values.pop("output_filepath"), **values)
    try:
        manifest = convert(settings)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    where = f", listed in {settings.output / SKIPPED_NAME}" if manifest.skipped else ""
    print(f"{manifest.num_records} images of {manifest.num_classes} identities in {len(manifest.parts)} parts")
    print(f"{manifest.repaired} repaired by re-encoding, {manifest.skipped} skipped{where}")
    print(f"Done: {settings.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
