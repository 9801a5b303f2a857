"""How fast images are decoded and aligned, and how fast models embed them by each backend. Not a test; run by hand:

    OMP_NUM_THREADS=1 python -m tests.benchmarks.bench_embed [--threads 1 2] [--batch_sizes 16] [--networks r18 mbf]

Images per second of the clock by the median call, and per second of CPU time by the best, which other work on the
machine disturbs least. OMP_NUM_THREADS is OneFlow's: two threads of its BLAS wait for each other by spinning, which on
a busy machine makes it several times slower.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sized
from functools import partial
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "3")

from utils.cpu import choose_blas_kernels

choose_blas_kernels(os.environ)

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from deploy.embedder import load_embedder  # noqa: E402
from deploy.images import drawn_faces  # noqa: E402
from evaluation.align import REFERENCE  # noqa: E402
from evaluation.embed import embed  # noqa: E402
from evaluation.loader import decoded  # noqa: E402
from evaluation.sources import FileImages, ImageSource, LandmarkedImages  # noqa: E402
from tests.deploy.models import make_model  # noqa: E402

_FACES, _LOOSE = 256, 2.0  # how much wider the loose crops are


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured for each figure, after a first batch")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[16])
    parser.add_argument("--networks", nargs="*", default=["r18", "mbf", "mbf_tiny"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        aligned, loose = write_images(Path(folder), drawn_faces(_FACES))
        print("| what | backend | threads | batch | img/s | img per CPU second |")
        print("| --- | --- | ---: | ---: | ---: | ---: |")
        for threads in args.threads:
            for name, source in (("decode", aligned), ("decode and align", loose)):
                show(name, "-", threads, 32, measure(partial(load, source, threads), args.seconds))
        for network in args.networks:
            model = make_model(Path(folder, network), network, 512)
            for backend in ("oneflow", "onnx"):
                for threads in args.threads if backend == "onnx" else [1]:  # OneFlow's convolutions take one thread
                    embedder = load_embedder(model, backend=backend, threads=threads)
                    for size in args.batch_sizes:
                        pixels = aligned.decode(0, size)
                        found = measure(partial(embedder, pixels), args.seconds)
                        show(network, backend, threads, size, found)
            whole = measure(partial(embed, embedder, loose, embedder.batch_size), args.seconds)
            show(f"{network}, whole pass with flip", "onnx", max(args.threads), embedder.batch_size, whole)


def write_images(folder: Path, faces: np.ndarray) -> tuple[ImageSource, ImageSource]:
    """Aligned faces and loose crops with landmarks, as JPEG files of quality 95."""
    names = [f"{number}.jpg" for number in range(len(faces))]
    for name, face in zip(names, faces, strict=True):
        wide = cv2.copyMakeBorder(face, 28, 28, 28, 28, cv2.BORDER_REFLECT)
        for place, image in (("aligned", face), ("loose", cv2.resize(wide, None, fx=_LOOSE, fy=_LOOSE))):
            (folder / place).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / place / name), image[:, :, ::-1])
    landmarks = np.tile((REFERENCE + 28) * _LOOSE, (len(faces), 1, 1))
    return FileImages(names, folder / "aligned"), LandmarkedImages(names, landmarks, folder / "loose")


def load(source: ImageSource, threads: int) -> list[np.ndarray]:
    batches = [(start, start + 32) for start in range(0, len(source), 32)]
    return [pixels for batch in decoded(source, batches, threads) for pixels in batch]


def measure(work: Callable[[], Sized], seconds: float) -> tuple[float, float]:
    """Images per second of the clock, by the median call, and of CPU time, by the best."""
    images = len(work())
    clocks, cpus = [], []
    while len(clocks) < 3 or sum(clocks) < seconds:
        clock, cpu = time.perf_counter(), time.process_time()
        work()
        clocks.append(time.perf_counter() - clock)
        cpus.append(time.process_time() - cpu)
    return images / statistics.median(clocks), images / min(cpus)


def show(what: str, backend: str, threads: int, batch: int, found: tuple[float, float]) -> None:
    print(f"| {what} | {backend} | {threads} | {batch} | {found[0]:.1f} | {found[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
