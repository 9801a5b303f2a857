"""How fast, and in how much memory, recordio becomes OFRecord parts. Not a test; run by hand:

    python tests/benchmarks/bench_convert.py [--records 100000] [--workers 1] [--spark] [--folder DIR]

A tenth of the records is converted first: peak memory that grows only by the index shows that images are streamed. The
plain loop is what one would write oneself: one process that reads the records in random order with mxnet and writes
them with OneFlow's message class. --spark measures tools/spark_2_ofrecord.py too, on as many cores as workers.
"""

import argparse
import multiprocessing
import os
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.data.mxnet_sets import encode, write_set

TOOLS = Path(__file__).resolve().parents[2] / "tools"
DISTINCT = 1000  # images, each stored many times
PARTS = 8


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


def plain_loop(source: Path, output: Path) -> None:
    """Convert without checks, counts or atomic names."""
    import mxnet as mx
    from oneflow.core.record import record_pb2

    output.mkdir()
    file = mx.recordio.MXIndexedRecordIO(str(source / "train.idx"), str(source / "train.rec"), "r")
    header, _ = mx.recordio.unpack(file.read_idx(0))
    keys = np.random.default_rng(0).permutation(np.arange(1, int(header.label[0])))
    for number, some in enumerate(np.array_split(keys, PARTS)):
        with open(output / f"part-{number:05d}", "wb") as part:
            for key in some.tolist():
                header, image = mx.recordio.unpack(file.read_idx(key))
                record = record_pb2.OFRecord()
                record.feature["encoded"].bytes_list.value.append(image)
                record.feature["label"].int32_list.value.append(int(header.label))
                message = record.SerializeToString()
                part.write(struct.pack("<q", len(message)) + message)


def processes_of(root: int) -> list[int]:
    """`root` and all that it has started."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def holdings(process: int) -> tuple[str, float, int]:
    """Its program, the most memory it has held, in MiB, and how many files it has open."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    files = len(os.listdir(f"/proc/{process}/fd"))
    return fields["Name"].strip(), int(fields.get("VmHWM", "0 kB").split()[0]) / 1024, files


def measure(name: str, command: list[object], records: int) -> float:
    """Run a program and print what it took; the seconds."""
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most: dict[str, tuple[float, int]] = {}
    ended = 0
    while not ended:
        for one in processes_of(process.pid):
            with suppress(OSError):  # it has just ended
                program, memory, files = holdings(one)
                before = most.get(program, (0, 0))
                most[program] = max(before[0], memory), max(before[1], files)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)  # the usage is of all that it waited for, too
        time.sleep(0.02)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"{name} failed")
    cpu = usage.ru_utime + usage.ru_stime
    held = ", ".join(f"{program} {memory:.0f} MiB and {files} files" for program, (memory, files) in most.items())
    print(f"{records:>9} records, {name}: {wall:.1f} s, {records / wall:,.0f} records/s,", end=" ")
    print(f"{records / cpu:,.0f} per CPU second; at most {held}", flush=True)
    return wall


def main() -> None:
    """Write two sets with mxnet, convert them, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--spark", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to work (default: the temporary folder)")
    parser.add_argument("--plain", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        plain_loop(*arguments.plain)
        return
    workers = ["--num_part", PARTS, "--workers", arguments.workers]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        seconds: dict[str, list[float]] = {}
        sizes = (arguments.records // 10, arguments.records)
        for records in sizes:
            source, outputs = Path(folder) / f"faces{records}", Path(folder) / f"out{records}"
            # Apart: Linux counts what a process held before it became the converter, and mxnet holds 200 MiB.
            maker = multiprocessing.get_context("spawn").Process(target=make_set, args=(source, records))
            maker.start()
            maker.join()
            prepare = [sys.executable, TOOLS / "prepare_dataset.py", source, *workers, "--out"]
            commands = {
                "a plain loop": [sys.executable, __file__, "--plain", source, outputs / "plain"],
                "headers checked": [*prepare, outputs / "headers"],
                "all decoded": [*prepare, outputs / "decoded", "--verify"],
            }
            if arguments.spark:
                spark = [sys.executable, TOOLS / "spark_2_ofrecord.py", source, "--out", outputs / "spark", *workers]
                commands["on Spark"] = [*spark, "--master", f"local[{arguments.workers},4]"]
            outputs.mkdir()
            for name, command in commands.items():
                seconds.setdefault(name, []).append(measure(name, command, records))
        for name, (few, all) in seconds.items():  # what starting takes is in both
            print(f"{name}: {(sizes[1] - sizes[0]) / (all - few):,.0f} records/s without the start")


if __name__ == "__main__":
    main()
