"""Makes the data of configs/demo.py, once: drawn faces as MXNet recordio, then OFRecord shards.

    python tools/prepare_demo.py [--out demo_data]

Says nothing where it is all there already.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from data.manifest import MANIFEST_NAME
from preparation.convert.to_ofrecord import Settings, convert
from preparation.drawn import DemoParameters, make_demo_dataset
from utils.cli import run_cli
from utils.config import load_config

IDENTITIES, IMAGES, PAIRS, SEED, PARTS = 400, 30, 600, 0, 16


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the data (default: demo_data, as configs/demo.py has it)")
    out = parser.parse_args(arguments).out or Path(load_config("demo").ofrecord_path).parent
    finished = (out / "ofrecord" / MANIFEST_NAME).exists()
    if not finished:
        print(f"Drawing {IDENTITIES * IMAGES:,} faces of {IDENTITIES} people into {out} (once).", flush=True)
    drawn = make_demo_dataset(out / "faces", DemoParameters(IDENTITIES, IMAGES, SEED, PAIRS))
    if drawn or not finished:
        workers = len(os.sched_getaffinity(0))
        convert(Settings(out / "faces", out / "ofrecord", num_part=PARTS, workers=workers, force=drawn))


if __name__ == "__main__":
    run_cli(main)
