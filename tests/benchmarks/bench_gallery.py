"""How long it takes to find a face among very many. Not a test; run by hand:

    python tests/benchmarks/bench_gallery.py [--entries 1000000] [--people 1000000] [--size 512] [--folder DIR]

Random unit vectors are written as a gallery, opened again, and searched for noisy copies of some of them, one query at
a time and several together. Every answer is compared with the entry that the query was made from.
"""

import argparse
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recognition.gallery import Gallery
from recognition.search import nearest

NOISE = 0.5  # length of what is added to an entry
REPEATS = 20


def make_gallery(entries: int, people: int, size: int) -> Gallery:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((entries, size), np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    starts = entries * np.arange(people + 1) // people
    names = [f"人 {person}" for person in range(people)]
    return Gallery(embeddings, starts, names, [f"{image}.jpg" for image in range(entries)], {"model": "random"})


def timed(what: str, action, repeats: int = 1):
    """What the action returns; prints the median time of `repeats`, and that of all cores together."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        result = action()
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, cores = 1e3 * np.median(times, axis=0)
    print(
        f"{what}: {wall:,.1f} ms, {1e3 * min(times)[0]:,.1f} at best; {cores:,.1f} ms of all cores together", flush=True
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, help="default: as many")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="where to work (default: the temporary folder)")
    args = parser.parse_args()
    people = args.people or args.entries
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder) / "gallery.npz"
        timed("made and written", lambda: make_gallery(args.entries, people, args.size).save(path))
        print(f"{path.stat().st_size / 2**20:,.0f} MiB")
        gallery = timed("opened", lambda: Gallery.load(path))
        rng = np.random.default_rng(1)
        chosen = rng.choice(args.entries, 64, replace=False)
        noise = rng.standard_normal((64, args.size), np.float32)
        queries = gallery.embeddings[chosen] + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        expected = [gallery.names[gallery.person_of(image)] for image in chosen]
        timed("first query", lambda: nearest(gallery, queries[:1]))
        for count in (1, 4, 16, 64):
            found = timed(
                f"{count} quer{'y' if count == 1 else 'ies'}",
                partial(nearest, gallery, queries[:count]),
                REPEATS,
            )
            assert [matches[0].name for matches in found] == expected[:count]
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB, the file's included")


if __name__ == "__main__":
    main()
