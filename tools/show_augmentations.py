"""Show what augmentation does to faces: a sheet of each operation alone, then of whole epochs.

python tools/show_augmentations.py my_faces --out work_dirs/sheet.png
python tools/show_augmentations.py augment=crop_pad:0.2,color:0.2 --images demo_data/ofrecord --out work_dirs/sheet.png

The epochs are those of a run with this config. Without an `augment`, all operations are shown.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

import cv2
import numpy as np

from data.augment import OPERATIONS, augmentation_sheet
from deploy.images import drawn_faces
from evaluation.sources import open_source
from utils.cli import run_cli
from utils.config import load_config
from utils.errors import UserError
from utils.files import write_whole

_USUAL = 0.2  # of each operation, where the config has none


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "config", nargs="*", default=[], metavar="CONFIG | key=value", help="as for training; default: base"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    parser.add_argument(
        "--images", type=Path, help="a converted dataset, a .bin set or a folder; default: the config's, or drawn faces"
    )
    parser.add_argument("--columns", type=int, default=8, metavar="N", help="images, evenly from all (8)")
    parser.add_argument("--epochs", type=int, default=3, metavar="N", help="rows of all operations together (3)")
    args = parser.parse_intermixed_args(arguments)
    if args.columns < 1 or args.epochs < 0:
        raise UserError("--columns must be at least 1, and --epochs 0 or more")
    if args.out.suffix.lower() != ".png":
        raise UserError(f"--out {args.out} is not possible: the sheet is a PNG file, such as sheet.png")
    names = [argument for argument in args.config if "=" not in argument] or ["base"]
    if len(names) > 1:
        raise UserError(f"there is one CONFIG to show, not {len(names)}: {', '.join(names)}")
    cfg = load_config(names[0], [argument for argument in args.config if "=" in argument], require_data=False)
    images, records = _faces(args.images or (cfg.ofrecord_path and Path(cfg.ofrecord_path)), args.columns)
    augment = cfg.augment or dict.fromkeys(OPERATIONS, _USUAL)
    _write(args.out, augmentation_sheet(images, records, augment, cfg.seed, args.epochs))
    shown = ", ".join(f"{name} {probability:g}" for name, probability in augment.items())
    print(f"{args.out}: {shown}" + ("" if cfg.augment else f"; augment is empty, so all are shown at {_USUAL}"))


def _faces(path: Path | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W, 3) uint8 RGB, and (N,) which of the source they are."""
    if path is None:
        return drawn_faces(count), np.arange(count)
    source = open_source(path)
    records = np.linspace(0, len(source) - 1, min(count, len(source))).round().astype(int)
    return np.concatenate([source.decode(record, record + 1) for record in records.tolist()]), records


def _write(file: Path, sheet: np.ndarray) -> None:
    write_whole(file, cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())


if __name__ == "__main__":
    run_cli(main)
