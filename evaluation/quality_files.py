"""The quality of faces as files: a table, a sheet of faces from the worst to the best, and a histogram."""

import csv
import io
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from evaluation.sources import ImageSource
from pages.figure import COLORS, png
from utils.files import write_whole

_WIDTH = 12  # faces in a row of the sheet
_CAPTION = 18  # pixels below each face
_BINS = 60


def write_quality(images: ImageSource, quality: np.ndarray, folder: Path, faces: int) -> list[Path]:
    """Writes quality.csv, histogram.png and, unless `faces` is 0, sheet.png of so many faces into the folder.

    quality: (N,) of the images. Raises UserError where an image cannot be read or a file not written.
    """
    files = {"quality.csv": _csv(images, quality), "histogram.png": png(_histogram(quality))}
    if faces:
        files["sheet.png"] = _sheet(images, quality, faces)
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]


def _csv(images: ImageSource, quality: np.ndarray) -> bytes:
    """A line for each image, the worst first; names of files are the bytes they are."""
    lines = io.StringIO()
    rows = csv.writer(lines, lineterminator="\n")
    rows.writerow(["number", "magnitude", "image"])
    rows.writerows([n, f"{quality[n]:.6g}", images.name(n)] for n in np.argsort(quality, kind="stable").tolist())
    return lines.getvalue().encode(errors="surrogateescape")


def _sheet(images: ImageSource, quality: np.ndarray, faces: int) -> bytes:
    """Faces at even steps through the order of quality, the worst at the top left, each above its magnitude."""
    order = np.argsort(quality, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(faces, len(order))).round().astype(int)].tolist()
    tiles, (height, width) = [], images.image_size
    for number in shown:
        tile = np.full((height + _CAPTION, width, 3), 255, np.uint8)
        tile[:height] = images.decode(number, number + 1)[0]
        words = f"{quality[number]:.4g}"
        cv2.putText(tile, words, (4, height + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    blank = np.full_like(tiles[0], 255)
    columns = min(_WIDTH, len(tiles))
    tiles += [blank] * (-len(tiles) % columns)
    sheet = np.vstack([np.hstack(tiles[first : first + columns]) for first in range(0, len(tiles), columns)])
    return cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes()


def _histogram(quality: np.ndarray) -> Figure:
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(*np.histogram(quality, _BINS), fill=True, color=COLORS[0], alpha=0.6)
    low, middle, high = np.percentile(quality, (5, 50, 95))
    for value, style in ((low, ":"), (middle, "--"), (high, ":")):
        axes.axvline(value, color="#444444", lw=1.2, ls=style)
    axes.set_title(f"Magnitude of {len(quality):,} faces", loc="left", fontsize=11)
    axes.set_xlabel(f"|x|, without flip; lines at 5, 50 and 95 %: {low:.4g}, {middle:.4g}, {high:.4g}")
    axes.set_ylabel("faces")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
