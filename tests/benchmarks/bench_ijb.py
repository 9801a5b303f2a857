"""How long, and in how much memory, IJB-C is judged: random embeddings of its 469,375 images. Not a test; run by hand:

    python tests/benchmarks/bench_ijb.py [--folder DIR] [--scattered]

The counts are IJB-C's: 23,124 templates, of which 3,531 make the galleries, and 15,658,489 pairs of gallery and probe.
--scattered pairs any two templates, in no order, which is the worst that a list can do. It takes 2.2 GB of disk.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from evaluation.curves import roc
from evaluation.embedding_file import load_embeddings
from evaluation.ijb import check_embeddings, pair_scores
from evaluation.ijb_meta import load_ijb
from evaluation.results import curve_facts
from evaluation.search import identification, search
from evaluation.templates import Setting, template_features

IMAGES, TEMPLATES, GALLERY, PAIRS, SAME, SIZE = 469_375, 23_124, 3_531, 15_658_489, 19_557, 512
HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME\n"


def make_release(root: Path, scattered: bool) -> None:
    """The meta files, with person p's templates p, p + GALLERY, ..., and embeddings of them with much noise."""
    rng = np.random.default_rng(0)
    meta = root / "IJBC" / "meta"
    meta.mkdir(parents=True)
    template = np.sort(np.r_[np.arange(TEMPLATES), rng.integers(0, TEMPLATES, IMAGES - TEMPLATES)])
    media = rng.integers(0, 60_000, IMAGES)
    media[1::3] = media[::3][: len(media[1::3])]  # frames of a video
    points = " ".join(["50.125"] * 10)
    with (meta / "ijbc_face_tid_mid.txt").open("w") as faces, (meta / "ijbc_name_5pts_score.txt").open("w") as marks:
        for number, (t, m) in enumerate(zip(template.tolist(), media.tolist(), strict=True), start=1):
            faces.write(f"{number}.jpg {t + 1} {m}\n")
            marks.write(f"{number}.jpg {points} 0.{number % 999 + 1:03d}\n")

    first = rng.integers(0, TEMPLATES if scattered else GALLERY, PAIRS)
    second = rng.integers(0 if scattered else GALLERY, TEMPLATES, PAIRS)
    first[:SAME] = rng.integers(0, GALLERY, SAME)
    second[:SAME] = first[:SAME] + GALLERY * rng.integers(1, TEMPLATES // GALLERY, SAME)
    if not scattered:
        first[SAME:].sort()
    same = (first - second) % GALLERY == 0
    with (meta / "ijbc_template_pair_label.txt").open("w") as file:
        for start in range(0, PAIRS, 1 << 20):
            part = np.stack([first + 1, second + 1, same])[:, start : start + (1 << 20)].T
            file.write("".join("%d %d %d\n" % (a, b, c) for a, b, c in part.tolist()))  # noqa: UP031 quicker
    rosters = {"gallery_G1": range(0, GALLERY, 2), "gallery_G2": range(1, GALLERY, 2)}
    rosters["probe_mixed"] = range(GALLERY, TEMPLATES)
    for name, templates in rosters.items():
        lines = (f"{t + 1},{t % GALLERY},img/1.jpg\n" for t in templates)
        (meta / f"ijbc_1N_{name}.csv").write_text(HEADER + "".join(lines))

    people = rng.standard_normal((GALLERY, SIZE), np.float32)
    rows = np.lib.format.open_memmap(root / "X.npy", "w+", np.float32, (IMAGES, 2, SIZE))
    for start in range(0, IMAGES, 4096):
        person = people[template[start : start + 4096] % GALLERY]
        rows[start : start + 4096] = person[:, None] + 6 * rng.standard_normal((len(person), 2, SIZE), np.float32)
    about = {"model": "random", "count": IMAGES, "flip": True, "embedding_size": SIZE}
    (root / "X.json").write_text(json.dumps(about))


def measure(root: Path) -> None:
    """Prints what each step takes, as tools/eval_ijb.py does them, and the most memory the process had until then."""
    begun = start = time.perf_counter()

    def done(step: str) -> None:
        nonlocal start
        # Not getrusage: its peak includes that of the process which started this one.
        status = Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20
        print(f"{step:<42} {time.perf_counter() - start:6.1f} s   peak {peak:.2f} GiB", flush=True)
        start = time.perf_counter()

    ijb = load_ijb(root, "IJBC")
    done("meta files read")
    embeddings, _ = load_embeddings(root / "X.npy")
    check_embeddings(ijb, embeddings)
    done("embeddings looked through")
    features = template_features(embeddings, ijb.detector_scores, ijb.templates, ijb.medias, Setting())
    done(f"{len(features):,} templates from {len(embeddings):,} images")
    scores = pair_scores(features, ijb.first, ijb.second)
    done(f"{len(scores):,} pairs scored")
    facts = curve_facts(roc(scores, ijb.same))
    done("their curve")
    found = [
        search(features[ijb.probes.templates], ijb.probes.subjects, features[each.templates], each.subjects)
        for each in ijb.galleries.values()
    ]
    figures = identification(found)
    done("1:N, two galleries")
    print(f"{'all':<42} {time.perf_counter() - begun:6.1f} s")
    print(facts["tar_at_far"], figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="for the files; default: a temporary one")
    parser.add_argument("--scattered", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure(args.measure)
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        start = time.perf_counter()
        make_release(Path(scratch), args.scattered)
        print(f"files made in {time.perf_counter() - start:.0f} s", flush=True)
        subprocess.run([sys.executable, __file__, "--measure", scratch], check=True)


if __name__ == "__main__":
    main()
