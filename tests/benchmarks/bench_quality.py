"""Does magnitude follow quality? Drawn faces that training never saw, blurred and covered more and more:

    python tests/benchmarks/bench_quality.py --model_path work_dirs/demo --out /tmp/quality

Each person is drawn once, sharp and uncovered; then the same picture at rising blur (sigma in pixels), and with a patch
of rising size over the face. Prints Spearman's rank correlation of |x| with the strength, over all pictures and as the
mean over the people, and writes a sheet: a person a row, blur and then occlusion rising to the right.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils.environment import enter_environment

enter_environment()

import cv2
import numpy as np
from scipy.stats import spearmanr

from data.drawn import USUAL, Identity, Nuisance, render
from deploy.embedder import load_embedder
from evaluation.quality import magnitudes
from preparation.drawn.dataset import HELD_OUT
from utils.cli import run_cli

BLUR = (0.0, 0.7, 1.4, 2.1, 2.8, 3.5, 4.2)  # sigma in crop pixels
PATCH = (0.0, 6.0, 10.0, 14.0, 18.0, 22.0, 26.0)  # half its edge, in crop pixels


def draw(seed: int, person: int) -> np.ndarray:
    """(2, strengths, 112, 112, 3) uint8: one picture of a person at each blur, and with each patch."""
    face = Identity.draw(seed, person)
    now = Nuisance.draw(np.random.default_rng([seed, person, 1]), USUAL)
    now = replace(now, blur=0.0, occlusion=None)
    blurred = [render(face, replace(now, blur=sigma)) for sigma in BLUR]
    covered = []
    for half in PATCH:
        place = now.occluder.copy()
        place[0], place[1] = 0.25 + 0.5 * place[0], 0.3 + 0.5 * place[1]  # over the face
        place[2:4] = (half - 8) / 14  # as data/drawn/occlusion.py makes an edge of it
        covered.append(render(face, replace(now, occlusion="patch" if half else None, occluder=place)))
    return np.array([blurred, covered])


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model_path", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args(arguments)
    faces = np.array([draw(args.seed, HELD_OUT + (1 << 22) + number) for number in range(args.people)])
    embedder = load_embedder(args.model_path, "cpu")
    flat = faces.reshape(-1, 112, 112, 3)
    rows = [embedder(flat[start : start + 64]) for start in range(0, len(flat), 64)]
    found = magnitudes(np.concatenate(rows)[:, None]).reshape(faces.shape[:3])
    for kind, (name, strengths) in enumerate((("blur", BLUR), ("occlusion", PATCH))):
        own = found[:, kind]
        overall = spearmanr(np.tile(strengths, len(own)), own.ravel()).statistic
        each = np.mean([spearmanr(strengths, row).statistic for row in own])
        print(f"{name}: rank correlation {overall:.3f} over all, {each:.3f} as the mean over the people")
        print("  " + "  ".join(f"{s:g}: {m:.2f}" for s, m in zip(strengths, own.mean(axis=0), strict=True)))
    args.out.mkdir(parents=True, exist_ok=True)
    sheet = np.vstack([np.hstack(person.reshape(-1, 112, 112, 3)) for person in faces[:8]])
    cv2.imwrite(str(args.out / "strengths.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    run_cli(main)
