"""A cleaned set from a finished one and the embeddings of its images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.manifest import Manifest
from preparation.clean.report import MERGE_NAME, SPLIT_NAME, write_report
from preparation.clean.review import duplicates, mixed
from preparation.clean.rules import clean
from preparation.clean.votes import Centers, MeanCenters, Members, vote
from preparation.edit.jobs import Output, write_records
from preparation.edit.lists import read_columns
from preparation.record_sets import RecordSets
from utils.errors import UserError

REPORT = "cleaning"  # folder in the new set


@dataclass(frozen=True)
class Limits:
    """In degrees but for `mixed_share`, a share of a class's votes.

    angle: images farther from their dominant center go; duplicate_angle: classes whose centers are nearer than that are
    listed to merge; mixed_angle: those of which two centers are farther apart than that, each with `mixed_share` of
    the votes, are listed to split. Raises UserError for what cannot be.
    """

    angle: float = 75.0
    duplicate_angle: float = 45.0
    mixed_angle: float = 75.0
    mixed_share: float = 0.25

    def __post_init__(self) -> None:
        for name in ("angle", "duplicate_angle", "mixed_angle"):
            if not 0 < getattr(self, name) <= 180:
                raise UserError(
                    f"--{name} {getattr(self, name):g} is not possible: degrees are above 0 and at most 180"
                )
        if not 0 < self.mixed_share <= 0.5:
            raise UserError(f"--mixed_share {self.mixed_share:g} is not possible: it is above 0 and at most 0.5")


@dataclass(frozen=True)
class Lists:
    """What a person says after review: two columns `label,other` of classes to merge, and `label` of those to split."""

    merge: np.ndarray
    split: np.ndarray

    @classmethod
    def read(cls, merge: Path | None, split: Path | None, num_classes: int) -> "Lists":
        """From files; None: nothing of the kind. Raises UserError for a list that is none, or names no class."""
        merges = read_columns(merge, ("label", "other"), num_classes) if merge else np.empty((0, 2), np.int64)
        splits = read_columns(split, ("label",), num_classes)[:, 0] if split else np.empty(0, np.int64)
        return cls(merges, np.unique(splits))


def write_cleaned(
    sets: RecordSets,
    embeddings: np.ndarray,
    centers: Centers | None,
    limits: Limits,
    lists: Lists,
    output: Output,
    about: dict[str, object],
    rows: int,
) -> tuple[Manifest, dict[str, object]]:
    """Write the cleaned set and the report, in its folder `REPORT`; its manifest, and the summary.

    Args:
        embeddings: (N, views, E), those of the images first, maybe memory-mapped.
        centers: of all classes of the set; None: the means of their images.
        about: what the summary says of the model.
        rows: classes on the sheet of dropped images, at most.

    Raises:
        UserError: anything that the user can put right.
    """
    labels, classes = sets.column("label"), sets.manifests[0].num_classes
    members = Members(embeddings, labels, classes)
    centers = centers or MeanCenters(members)
    if len(lists.split) and centers.per_class == 1:
        raise UserError(
            "--split needs a checkpoint with centers_per_class above 1: one center a class votes for nobody"
        )
    votes = vote(members, centers)
    cleaned = clean(labels, votes, limits.angle, lists.merge, lists.split)
    pairs, total = duplicates(votes, limits.duplicate_angle)
    two = mixed(votes, limits.mixed_angle, limits.mixed_share)
    kept = int(np.count_nonzero(cleaned.keep))
    before = int(np.count_nonzero(np.diff(members.starts)))
    after = len(np.unique(cleaned.labels[cleaned.keep]))
    summary = {
        "source": sets.folders[0].resolve().name,
        **about,
        "centers_per_class": centers.per_class,
        **vars(limits),
        "images": len(labels),
        "kept": kept,
        "dropped": len(labels) - kept,
        "identities": before,
        "identities_left": after,
        "duplicates": total,
        "duplicates_listed": len(pairs),
        "mixed": len(two),
        "merged_pairs": len(lists.merge),
        "split_identities": len(lists.split),
    }

    def report(folder: Path) -> None:
        write_report(folder / REPORT, sets, members, votes, cleaned, (pairs, two), limits.angle, summary, rows)

    how = {"cleaned": {key: value for key, value in summary.items() if key != "source"}}
    records = np.flatnonzero(cleaned.keep)
    made = write_records(sets, records, cleaned.labels, output, how, origins=cleaned.origins, finish=report)
    return made, summary


def review_files(folder: Path) -> tuple[Path, Path]:
    """The lists to review in the folder of a cleaned set: of classes to merge, and to split."""
    return folder / REPORT / MERGE_NAME, folder / REPORT / SPLIT_NAME
