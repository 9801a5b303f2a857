"""How many images one decoding thread loads, with each operation on every image and with usual settings.

Not a test; run by hand:

    python -m tests.benchmarks.bench_augment [--rounds 15] [--records 600]

Other work on the machine is kept out as far as it can be: an image's CPU time is counted, settings take turns, each
round compares a setting with "off" of the same round, and the median round is shown.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2

from data.augment import OPERATIONS
from data.loader import RecordLoader
from deploy.images import drawn_faces
from preparation.convert.to_ofrecord import Settings, convert
from tests.data.mxnet_sets import encode, write_set

_ADAFACE = {"crop_pad": 0.2, "low_resolution": 0.2, "color": 0.2}
_SETTINGS = {
    "off": {},
    **{f"{name}: 1": {name: 1.0} for name in OPERATIONS},
    "all: 1": dict.fromkeys(OPERATIONS, 1.0),
    "all: 0.2": dict.fromkeys(OPERATIONS, 0.2),
    "crop_pad, low_resolution, color: 0.2 (AdaFace)": _ADAFACE,
}
_FACES, _BATCH = 200, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--records", type=int, default=600)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_set(Path(folder), args.records)
        loaders = {
            name: RecordLoader(dataset, _BATCH, num_workers=1, augment=augment) for name, augment in _SETTINGS.items()
        }
        taken = {name: [] for name in loaders}
        for epoch in range(args.rounds):
            for name, loader in loaders.items():
                taken[name].append(measure(loader, epoch))
    print("| augment | images per CPU second | of off | µs more an image |")
    print("| --- | ---: | ---: | ---: |")
    for name, seconds in taken.items():
        share = statistics.median(off / own for off, own in zip(taken["off"], seconds, strict=True))
        more = statistics.median(own - off for off, own in zip(taken["off"], seconds, strict=True))
        print(f"| {name} | {1 / statistics.median(seconds):,.0f} | {share:.2f} | {more * 1e6:.0f} |")


def make_set(folder: Path, records: int) -> Path:
    """A converted dataset of drawn faces, JPEGs of quality 95 of about 6 KB."""
    jpegs = [encode(cv2.cvtColor(face, cv2.COLOR_RGB2BGR)) for face in drawn_faces(_FACES)]
    print(f"JPEGs of {sum(map(len, jpegs)) / _FACES / 1024:.1f} KiB on average\n")
    write_set(folder / "rec", [jpegs[i % _FACES] for i in range(records)], [i % 10 for i in range(records)])
    convert(Settings(folder / "rec", folder / "of", num_part=4, workers=1))
    return folder / "of"


def measure(loader: RecordLoader, epoch: int) -> float:
    """Seconds of CPU time an image, over one epoch."""
    start = time.process_time()
    images = sum(len(batch.labels) for batch in loader.epoch(epoch))
    return (time.process_time() - start) / images


if __name__ == "__main__":
    main()
