"""A benchmark of a few lines, whose files a test can spoil."""

from pathlib import Path

import cv2
import numpy as np

HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT\n"
LANDMARKS = "40.5 50.25 70 50 55 70 42 90 68 90"


def write_ijb(root: Path, images, pairs, galleries, probes, target: str = "IJBC") -> Path:
    """images: (template, media, detector's score) each; galleries, by name, and probes: (template, subject) each.

    Returns the folder of the meta files. The loose crops are all one gray picture.
    """
    meta, crops = root / target / "meta", root / target / "loose_crop"
    meta.mkdir(parents=True)
    crops.mkdir()
    files = {"face_tid_mid.txt": "", "name_5pts_score.txt": ""}
    for number, (template, media, score) in enumerate(images, start=1):
        cv2.imwrite(str(crops / f"{number}.jpg"), np.full((130, 120, 3), 100 + number % 100, np.uint8))
        files["face_tid_mid.txt"] += f"{number}.jpg {template} {media}\n"
        files["name_5pts_score.txt"] += f"{number}.jpg {LANDMARKS} {score}\n"
    files["template_pair_label.txt"] = "".join(f"{a} {b} {label}\n" for a, b, label in pairs)
    rosters = {f"gallery_{name}": roster for name, roster in galleries.items()} | {"probe_mixed": probes}
    for name, roster in rosters.items():
        files[f"1N_{name}.csv"] = HEADER + "".join(f"{t},{subject},img/1.jpg,1,0,0,9,9\n" for t, subject in roster)
    for name, text in files.items():
        (meta / f"{target.lower()}_{name}").write_text(text)
    return meta


def write_small_ijb(root: Path, target: str = "IJBC") -> Path:
    """Six images, four templates of two people; template 7 is a video of two frames and an image."""
    galleries = dict(zip({"IJBB": ("S1", "S2"), "IJBC": ("G1", "G2")}[target], ([(3, 1)], [(5, 2)]), strict=True))
    return write_ijb(
        root,
        images=[(3, 10, 0.9), (5, 11, 0.8), (7, 12, 0.999), (7, 13, 0.5), (7, 13, 0.25), (9, 12, 0.7)],
        pairs=[(3, 7, 1), (5, 9, 1), (3, 9, 0), (5, 7, 0)],
        galleries=galleries,
        probes=[(7, 1), (7, 1), (9, 2)],
        target=target,
    )
