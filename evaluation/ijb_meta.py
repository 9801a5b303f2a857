"""IJB-B and IJB-C as InsightFace publishes them for evaluation: the meta files, checked, as arrays.

    IJB_release/IJBC/loose_crop/1.jpg ...                faces with some of their surroundings
    IJB_release/IJBC/meta/ijbc_face_tid_mid.txt          image, template, media (an image, or a video and its frames)
                          ijbc_name_5pts_score.txt       image, five landmarks as x y, the detector's score
                          ijbc_template_pair_label.txt   template, template, 1 for the same person or 0
                          ijbc_1N_gallery_G1.csv, ijbc_1N_gallery_G2.csv, ijbc_1N_probe_mixed.csv
                                                         TEMPLATE_ID,SUBJECT_ID,... with a header and a row per image

IJBB is laid out alike, but its galleries are called S1 and S2. The first two files go line by line together. The
benchmarks are those of Whitelam et al. (2017, IJB-B) and Maze et al. (2018, IJB-C).
"""

import csv
import io
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.ijb_lines import at_line, integer_blocks, open_table, rows
from evaluation.sources import LandmarkedImages
from utils.errors import UserError
from utils.pixels import USUAL_SIZE
from utils.reading.faults import broken_file, shown

GALLERIES = {"IJBB": ("S1", "S2"), "IJBC": ("G1", "G2")}
_LANDMARKS = "name_5pts_score.txt"
_COLUMNS = 1 + 2 * 5 + 1  # of that file


@dataclass(frozen=True)
class Roster:
    """Templates of a gallery, or of probes, and who they show: (n,) rows of `Ijb.template_ids`, (n,) int64."""

    templates: np.ndarray
    subjects: np.ndarray


@dataclass(frozen=True)
class Ijb:
    """A benchmark's N images, T templates and P pairs; templates are named by their row in `template_ids`."""

    target: str
    names: list[str]  # (N,)
    detector_scores: np.ndarray  # (N,) float32
    template_ids: np.ndarray  # (T,) int64, as the files have them, rising
    templates: np.ndarray  # (N,) int32: the template an image belongs to
    medias: np.ndarray  # (N,) int64; those of two templates may have the same number
    first: np.ndarray  # (P,) int32
    second: np.ndarray  # (P,) int32
    same: np.ndarray  # (P,) bool
    galleries: dict[str, Roster]  # empty where they were not asked for
    probes: Roster | None


def load_ijb(root: Path, target: str, identification: bool = True) -> Ijb:
    """The benchmark `target`, "IJBB" or "IJBC", below `root`; images themselves are not looked at.

    identification: read the galleries and probes of the 1:N protocol too. Raises UserError where a file is missing, has
    a line that cannot be, or speaks of a template without images.
    """
    names, template_numbers, medias = _read_templates(_meta_file(root, target, "face_tid_mid.txt"))
    scores = _read_scores(_meta_file(root, target, _LANDMARKS), names)
    template_ids, templates = np.unique(template_numbers, return_inverse=True)
    first, second, same = _read_pairs(_meta_file(root, target, "template_pair_label.txt"), template_ids)
    galleries, probes = {}, None
    if identification:
        for gallery in GALLERIES[target]:
            path = _meta_file(root, target, f"1N_gallery_{gallery}.csv")
            galleries[gallery] = _read_roster(path, template_ids)
        probes = _read_roster(_meta_file(root, target, "1N_probe_mixed.csv"), template_ids)
    return Ijb(
        target=target,
        names=names,
        detector_scores=scores,
        template_ids=template_ids,
        templates=templates.astype(np.int32),
        medias=medias,
        first=first,
        second=second,
        same=same,
        galleries=galleries,
        probes=probes,
    )


def ijb_images(root: Path, target: str, image_size: tuple[int, int] = USUAL_SIZE) -> LandmarkedImages:
    """The N images of `target`, aligned by their landmarks to `image_size`.

    A bad or missing one is named by its line in the meta file.

    Raises UserError where that file is missing or has a line that cannot be.
    """
    path = _meta_file(root, target, _LANDMARKS)
    names, values = _read_landmarks(path)
    landmarks = values[:, :-1].reshape(-1, 5, 2)
    lines = range(1, len(names) + 1)
    return LandmarkedImages(names, landmarks, root / target / "loose_crop", path, lines, image_size)


def _meta_file(root: Path, target: str, name: str) -> Path:
    folder = root / target / "meta"
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; --data is the folder that {target} is in")
    return folder / f"{target.lower()}_{name}"


def _read_templates(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Name, template and media of each image."""
    names, numbers = [], array("q")
    for number, (name, *fields) in rows(path, columns=3):
        try:
            numbers.extend(map(int, fields))
        except (ValueError, OverflowError):
            template, media = map(shown, fields)
            raise UserError(
                f"{at_line(path, number)}: template {template!r} and media {media!r} must be whole numbers"
            ) from None
        names.append(name)
    templates, medias = np.frombuffer(numbers, np.int64).reshape(-1, 2).T
    return names, templates, medias


def _read_landmarks(path: Path) -> tuple[list[str], np.ndarray]:
    """Each image's name, and its landmarks and detector's score, (N, 11) float32."""
    names, values = [], array("f")
    for number, (name, *fields) in rows(path, columns=_COLUMNS):
        try:
            values.extend(map(float, fields))
        except ValueError:
            raise UserError(f"{at_line(path, number)}: not all landmarks and the score are numbers") from None
        names.append(name)
    table = np.frombuffer(values, np.float32).reshape(len(names), -1)
    finite = np.isfinite(table).all(axis=1)
    if not finite.all():
        raise UserError(f"{at_line(path, finite.argmin() + 1)}: not all landmarks and the score are finite numbers")
    return names, table


def _read_scores(path: Path, names: list[str]) -> np.ndarray:
    """The detector's scores, (N,) float32, of the images that face_tid_mid calls `names`."""
    listed, values = _read_landmarks(path)
    for number, (name, other) in enumerate(zip(listed, names, strict=False), start=1):
        if name != other:
            raise UserError(f"{at_line(path, number)} is about {name}, and face_tid_mid has {other} in that line")
    if len(listed) != len(names):
        raise UserError(f"{path} has {len(listed)} images, and face_tid_mid has {len(names)}")
    return values[:, -1].copy()


def _read_pairs(path: Path, template_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Templates of each pair, (P,) int32 twice, and whether they show the same person, (P,) bool."""
    parts = []
    for number, values in integer_blocks(path, columns=3):
        labels = values[:, 2]
        wrong = np.flatnonzero((labels != 0) & (labels != 1))
        if wrong.size:
            where = at_line(path, number + wrong[0])
            raise UserError(f"{where}: the label is {labels[wrong[0]]}, neither 0 (different people) nor 1 (the same)")
        lines = np.arange(number, number + len(values))
        first, second = (_rows_of(values[:, column], template_ids, path, lines) for column in (0, 1))
        parts.append((first, second, labels == 1))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _read_roster(path: Path, template_ids: np.ndarray) -> Roster:
    """The first two columns, each template once."""
    numbers, lines = array("q"), array("q")
    with (
        io.TextIOWrapper(open_table(path), encoding="utf-8", errors="replace", newline="") as file,
        broken_file(path, "is no table"),
    ):
        table = csv.reader(file)
        next(table, None)  # the header
        for fields in table:
            try:
                numbers.extend((int(fields[0]), int(fields[1])))
            except (IndexError, ValueError, OverflowError):
                shown = ",".join(fields)[:60]
                raise UserError(
                    f"{at_line(path, table.line_num)} is {shown!r}, and should begin with the numbers of a template "
                    "and of a subject"
                ) from None
            lines.append(table.line_num)
    if not lines:
        raise UserError(f"{path} holds no template")
    templates, subjects = np.frombuffer(numbers, np.int64).reshape(-1, 2).T
    line_numbers = np.frombuffer(lines, np.int64)
    ids, at, which = np.unique(templates, return_index=True, return_inverse=True)
    torn = np.flatnonzero(subjects != subjects[at][which])
    if torn.size:
        line, other = torn[0], at[which[torn[0]]]
        raise UserError(
            f"{at_line(path, line_numbers[line])}: template {templates[line]} shows subject {subjects[line]}, and in "
            f"line {line_numbers[other]} it shows subject {subjects[other]}"
        )
    return Roster(_rows_of(ids, template_ids, path, line_numbers[at]), subjects[at])


def _rows_of(ids: np.ndarray, template_ids: np.ndarray, path: Path, lines: np.ndarray) -> np.ndarray:
    """Where templates are in `template_ids`, (n,) int32. Raises UserError at the first that is not, by its line."""
    places = np.searchsorted(template_ids, ids)
    places[places == len(template_ids)] = 0
    unknown = np.flatnonzero(template_ids[places] != ids)
    if unknown.size:
        at = unknown[np.argmin(lines[unknown])]
        raise UserError(f"{at_line(path, lines[at])}: template {ids[at]} has no images in face_tid_mid")
    return places.astype(np.int32)
