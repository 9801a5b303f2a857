"""The loader against a plain OpenCV loop and a PyTorch DataLoader over the same images, in one run. Not a test:

    python -m tests.benchmarks.bench_loader [--records 2000] [--rounds 5] [--torch_python PYTHON]

CPU time an image on one core is counted, so that other work on the machine is kept out as far as it can be; rounds take
turns, and ratios are medians over the rounds.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from data.loader import RecordLoader
from tests.benchmarks.bench_augment import make_set

_BATCH = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--torch_python", type=Path, help="a Python that has torch and OpenCV; default: without PyTorch"
    )
    args = parser.parse_args()
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        loader = RecordLoader(make_set(Path(folder), args.records), _BATCH, num_workers=1)
        jpegs = stored_images(loader)
        taken: dict[str, list[float]] = {"decode": [], "loop": [], "loader": []}
        if args.torch_python:
            taken["PyTorch DataLoader"] = []
        for epoch in range(args.rounds):
            taken["decode"].append(seconds(lambda: [decode(jpeg) for jpeg in jpegs], len(jpegs)))
            taken["loop"].append(seconds(lambda: float_batch(jpegs), len(jpegs)))
            taken["loader"].append(seconds(lambda epoch=epoch: list(loader.epoch(epoch)), args.records))
            if args.torch_python:
                command = [args.torch_python, "-m", "tests.benchmarks.torch_loader", f"{folder}/rec", str(_BATCH), "2"]
                done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
                taken["PyTorch DataLoader"].append(json.loads(done.stdout)[-1])
    names = {
        "decode": "cv2.imdecode alone",
        "loop": "loop: decode, mirror half, float32, normalize",
        "loader": "our loader, one thread",
    }
    print("| | images per CPU second | µs an image | of decoding |\n| --- | ---: | ---: | ---: |")
    for name, each in taken.items():
        ratio = statistics.median(own / alone for own, alone in zip(each, taken["decode"], strict=True))
        middle = statistics.median(each)
        print(f"| {names.get(name, name)} | {1 / middle:,.0f} | {middle * 1e6:.0f} | {ratio:.2f} |")


def stored_images(loader: RecordLoader) -> list[np.ndarray]:
    """The bytes of each JPEG, in memory."""
    return [
        np.array(part[entry["offset"] : entry["offset"] + entry["length"]])
        for part, index in zip(loader._bytes, loader._index, strict=True)
        for entry in index
    ]


def decode(jpeg: np.ndarray) -> np.ndarray:
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB)


def float_batch(jpegs: list[np.ndarray]) -> None:
    """What a plain loop does: an image after the other to (3, 112, 112) float32 in [-1, 1]."""
    for start in range(0, len(jpegs), _BATCH):
        batch = np.empty((min(_BATCH, len(jpegs) - start), 3, 112, 112), np.float32)
        for row, jpeg in enumerate(jpegs[start : start + _BATCH]):
            image = decode(jpeg)
            image = image[:, ::-1] if row % 2 else image
            batch[row] = (image.transpose(2, 0, 1) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)


def seconds(work: Callable, images: int) -> float:
    """CPU seconds an image."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / images


if __name__ == "__main__":
    main()
