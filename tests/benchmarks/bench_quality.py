"""Does magnitude follow quality? Drawn faces that training never saw, spoiled more and more:

    python tests/benchmarks/bench_quality.py --model work_dirs/demo [--model_path CONTROL] --out /tmp/quality

Each person is drawn once, sharp and uncovered; then the same picture at rising blur (sigma in pixels), of ever fewer
pixels, and with a patch of rising size over the face. For each kind and model prints Spearman's rank correlation of |x|
with the strength, over all pictures and as the mean over the people; and for each strength the mean |x|, and the share
of pictures whose most similar other sharp picture, one of each person, is of the same person: where that does not
fall, the strength is no loss of quality to the model, and nothing need follow. Writes a sheet: a person a row.
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

from data.drawn import USUAL, Identity, Level, Nuisance, render
from deploy.embedder import load_embedder
from evaluation.quality import magnitudes
from preparation.drawn.dataset import HELD_OUT
from utils.cli import run_cli

# Rising strengths, of which the first is none. Blur: sigma in crop pixels; coarseness: crop pixels that become one;
# occlusion: half a patch's edge in crop pixels.
STRENGTHS = {
    "blur": (0.0, 1.0, 2.0, 3.0, 4.0, 5.5, 7.0),
    "coarseness": (1.0, 2.0, 3.0, 4.0, 5.5, 8.0, 11.2),
    "occlusion": (0.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0),
}
SPOILED = {
    "blur": lambda now, strength: replace(now, blur=strength),
    "coarseness": lambda now, strength: replace(now, side=round(112 / strength)),
    "occlusion": lambda now, strength: now.covered(strength) if strength else now,
}


def _clear(seed: int, person: int, image: int, level: Level) -> Nuisance:
    now = Nuisance.draw(np.random.default_rng([seed, person, image]), level)
    return replace(now, blur=0.0, occlusion=None)


def draw(seed: int, person: int, level: Level) -> np.ndarray:
    """(1 + kinds * strengths, 112, 112, 3) uint8: a sharp picture, and another one at each strength of each kind."""
    face, now = Identity.draw(seed, person), _clear(seed, person, 1, level)
    spoiled = [SPOILED[kind](now, strength) for kind, row in STRENGTHS.items() for strength in row]
    return np.array([render(face, one) for one in (_clear(seed, person, 2, level), *spoiled)])


def judge(model: Path, faces: np.ndarray) -> None:
    """faces: (people, 1 + kinds * strengths, 112, 112, 3)."""
    embedder = load_embedder(model, "cpu")
    flat = faces.reshape(-1, 112, 112, 3)
    rows = np.concatenate([embedder(flat[start : start + 64]) for start in range(0, len(flat), 64)])
    norms = magnitudes(rows[:, None]).reshape(len(faces), -1)
    unit = rows.reshape(*faces.shape[:2], -1) / norms[..., None]
    nearest = np.einsum("pse,qe->psq", unit[:, 1:], unit[:, 0]).argmax(axis=2)
    right = (nearest == np.arange(len(faces))[:, None]).mean(axis=0)
    print(f"{model}")
    for number, (kind, strengths) in enumerate(STRENGTHS.items()):
        start = number * len(strengths)
        own, recognized = norms[:, 1 + start :][:, : len(strengths)], right[start:]
        overall = spearmanr(np.tile(strengths, len(own)), own.ravel()).statistic
        each = np.mean([spearmanr(strengths, row).statistic for row in own])
        print(f"  {kind}: rank correlation {overall:.2f} over all, {each:.2f} as the mean over the people")
        told = zip(strengths, own.mean(axis=0), recognized[: len(strengths)], strict=True)
        print("    " + "  ".join(f"{strength:g}: |x| {norm:.2f}, {share:.0%}" for strength, norm, share in told))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model_path", type=Path, required=True, action="append", help="may be given several times")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--light", type=float, default=1.0, help="as of tools/make_demo_dataset.py")
    args = parser.parse_args(arguments)
    level = replace(USUAL, light=args.light)
    first = HELD_OUT + (1 << 22)
    faces = np.array([draw(args.seed, first + number, level) for number in range(args.people)])
    for model in args.model_path:
        judge(model, faces)
    args.out.mkdir(parents=True, exist_ok=True)
    sheet = np.vstack([np.hstack(person) for person in faces[:8]])
    cv2.imwrite(str(args.out / "strengths.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    run_cli(main)
