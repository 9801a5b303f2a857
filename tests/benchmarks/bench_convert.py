"""How fast, and in how much memory, recordio becomes OFRecord parts. Not a test; run by hand:

    python tests/benchmarks/bench_convert.py [--records 100000] [--workers 1] [--folder DIR]

A tenth of the records is converted first: peak memory that grows only by the index shows that images are streamed.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.data.mxnet_sets import encode, write_set

CONVERTER = Path(__file__).resolve().parents[2] / "tools" / "mx_recordio_2_ofrecord.py"
DISTINCT = 1000  # images, each stored many times


def noisy_jpeg(rng: np.random.Generator) -> bytes:
    """A JPEG of about 7 KB, the size of a usual face: a smooth picture and a little noise."""
    smooth = cv2.resize(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), (112, 112), interpolation=cv2.INTER_CUBIC)
    return encode(np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8))


def make_set(folder: Path, records: int) -> None:
    """Write a set of `records` images with mxnet."""
    rng = np.random.default_rng(0)
    jpegs = [noisy_jpeg(rng) for _ in range(DISTINCT)]
    print(f"JPEGs of {sum(map(len, jpegs)) / DISTINCT / 1024:.1f} KiB on average")
    write_set(folder, [jpegs[i % DISTINCT] for i in range(records)], [float(i % 10) for i in range(records)])


def measure(source: Path, output: Path, records: int, workers: int, *more: str) -> None:
    """Convert in a process of its own and print what it took."""
    command = [sys.executable, CONVERTER, "--data_dir", source]
    command += ["--output_filepath", output, "--num_part", "8", "--workers", workers, *more]
    start = time.perf_counter()
    process = subprocess.Popen(map(str, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)  # with its workers, which it waited for
    wall = time.perf_counter() - start
    if status:
        sys.exit("the conversion failed")
    cpu = usage.ru_utime + usage.ru_stime
    name = " ".join(more) or "headers only"
    print(
        f"{records:>9} records, {name}: {records / wall:,.0f} records/s, {records / cpu:,.0f} per CPU second,", end=" "
    )
    print(f"{wall:.1f} s, largest process {usage.ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    """Write two sets with mxnet, convert them, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work (default: the temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for records in (arguments.records // 10, arguments.records):
            source = Path(folder) / f"faces{records}"
            # Apart: Linux counts what a process held before it became the converter, and mxnet holds 200 MiB.
            maker = multiprocessing.get_context("spawn").Process(target=make_set, args=(source, records))
            maker.start()
            maker.join()
            measure(source, Path(folder) / f"out{records}", records, arguments.workers)
        measure(source, Path(folder) / "verified", records, arguments.workers, "--verify")


if __name__ == "__main__":
    main()
