"""IJB from its definitions, by plain loops over the files as they are: slow, and shares nothing with what it checks."""

import csv
import math
from functools import cached_property
from pathlib import Path


def _unit(vector):
    norm = math.sqrt(sum(x * x for x in vector))
    return [x / norm for x in vector] if norm else vector


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


class NaiveIjb:
    """The benchmark in root/target judged by embeddings (N, 2, E), in the mode that `setting` names, such as N1D1F2."""

    def __init__(self, root: Path, target: str, embeddings, setting: str) -> None:
        self.meta, self.prefix = root / target / "meta", target.lower()
        norm, detector, flip = setting[1] == "1", setting[3] == "1", int(setting[5])
        features = []
        for (image, mirrored), line in zip(embeddings.tolist(), self._lines("name_5pts_score.txt"), strict=True):
            vector = {0: image, 1: image + mirrored, 2: [a + b for a, b in zip(image, mirrored, strict=True)]}[flip]
            vector = vector if norm else _unit(vector)
            weight = float(line[-1]) if detector else 1.0
            features.append([weight * x for x in vector])
        media = {}
        for feature, (_, template, number) in zip(features, self._lines("face_tid_mid.txt"), strict=True):
            media.setdefault(int(template), {}).setdefault(int(number), []).append(feature)
        self.templates = {}
        for template, of_template in media.items():
            means = [
                [sum(column) / len(frames) for column in zip(*frames, strict=True)] for frames in of_template.values()
            ]
            self.templates[template] = _unit([sum(column) for column in zip(*means, strict=True)])

    def _lines(self, name: str):
        return [line.split() for line in (self.meta / f"{self.prefix}_{name}").read_text().splitlines()]

    @cached_property
    def pairs(self) -> list[tuple[float, bool]]:
        """Score and kind of each pair."""
        return [
            (_dot(self.templates[int(a)], self.templates[int(b)]), label == "1")
            for a, b, label in self._lines("template_pair_label.txt")
        ]

    def tar(self, far: float) -> float | None:
        """TAR at the lowest threshold with at most this FAR."""
        different = [score for score, same in self.pairs if not same]
        if len(different) * far < 1 - 1e-9:
            return None
        thresholds = {score for score, _ in self.pairs} | {math.inf}
        low_enough = [t for t in thresholds if sum(s >= t for s in different) <= far * len(different) * (1 + 1e-12)]
        same = [score for score, same in self.pairs if same]
        return sum(score >= min(low_enough) for score in same) / len(same)

    def _roster(self, name: str) -> dict[int, int]:
        with (self.meta / f"{self.prefix}_{name}.csv").open() as file:
            return {int(row["TEMPLATE_ID"]): int(row["SUBJECT_ID"]) for row in csv.DictReader(file)}

    def identification(self, galleries: list[str]) -> dict[str, float | None]:
        ranks, tpirs = [], {0.01: [], 0.1: []}
        for gallery in galleries:
            mated, others = self._search(self._roster(f"1N_gallery_{gallery}"))
            ranks += [rank for rank, _ in mated]
            for fpir, values in tpirs.items():
                values.append(self._tpir(mated, others, fpir))
        figures = {
            f"TPIR@FPIR={fpir:.0e}": None if None in values else sum(values) / len(values)
            for fpir, values in tpirs.items()
        }
        return figures | {f"rank-{k}": sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)}

    def _search(self, gallery: dict[int, int]):
        """(rank, score of the mate) of mated searches, and the best score of the others."""
        mated, others = [], []
        for probe, subject in self._roster("1N_probe_mixed").items():
            scores = [(_dot(self.templates[probe], self.templates[t]), who == subject) for t, who in gallery.items()]
            own = [score for score, is_own in scores if is_own]
            if own:
                rank = 1 + sum(score >= max(own) for score, is_own in scores if not is_own)
                mated.append((rank, max(own)))
            else:
                others.append(max(score for score, _ in scores))
        return mated, others

    @staticmethod
    def _tpir(mated, others, fpir: float) -> float | None:
        if len(others) * fpir < 1 - 1e-9:
            return None
        thresholds = {score for _, score in mated} | set(others) | {math.inf}
        low_enough = [t for t in thresholds if sum(s >= t for s in others) <= fpir * len(others) * (1 + 1e-12)]
        return sum(rank == 1 and score >= min(low_enough) for rank, score in mated) / len(mated)
