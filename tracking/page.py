"""A run's page, written while it trains: `report.html`, `run.json` and `learning_curve.png` in its folder."""

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking.facts import read_facts, write_facts
from tracking.history import HISTORY, read_history
from tracking.run_page import SAMPLES, run_page
from tracking.series import Curves, gathered
from tracking.writer import Writer
from utils.errors import UserError
from utils.files import show_name, write_whole

PAGE, PICTURE = "report.html", "learning_curve.png"
_LEAST_PAUSE = 5.0  # seconds between two versions of the page
_COST = 30  # and so many times as long as writing it took
_PICTURE_PAUSE = 300.0  # the picture takes longer and is looked at less
# Of samples: colors of full resolution, or they would run from an image into the one beside it.
_JPEG = [
    *(cv2.IMWRITE_JPEG_QUALITY, 90),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]


class RunPage(Writer):
    """step: where the run begins; a resumed one goes on with the points, pictures and times of before.

    The page holds a bounded number of points (`tracking.series`), so that it stays small however long the run is.
    """

    name = "the run's page"

    def __init__(self, output: Path, step: int) -> None:
        self._output, self._step, self._changed = output, step, True
        self._due = self._picture_due = 0.0

    def open(self) -> None:
        before = self._facts_of_before() if self._step else {}
        self._sittings = [*before.get("sittings", ()), {"start": _now(), "end": _now(), "step": self._step}]
        self._facts: dict[str, Any] = {"name": show_name(self._output.resolve()), "state": "training", "reason": ""}
        self._facts |= {"best": before.get("best") or {}, "samples": before.get("samples") or {}}
        path = self._output / HISTORY
        records = read_history(path) if self._step and path.exists() else ()
        # The run may have written later lines by now, which come through `add`.
        self._curves: Curves = gathered(record for record in records if record[0] <= self._step)
        if not self._step:
            for old in (self._output / SAMPLES).glob("phase-*.jpg"):
                old.unlink()

    def _facts_of_before(self) -> dict[str, Any]:
        try:
            return read_facts(self._output)
        except UserError:
            return {}  # of a disk that was full, say: the page begins again

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._curves.add(step, values)
        self._changed = True

    def describe(self, facts: Mapping[str, Any]) -> None:
        self._facts |= facts
        self._changed = True

    def pictures(self, name: str, step: int, images: NDArray[np.uint8]) -> None:
        sheet = cv2.cvtColor(np.hstack(list(images)), cv2.COLOR_RGB2BGR)
        content = cv2.imencode(".jpg", sheet, _JPEG)[1].tobytes()
        write_whole(self._output / SAMPLES / f"{name}.jpg", content)
        count, height, width, _ = images.shape
        self._facts["samples"][name] = {"count": count, "height": height, "width": width}
        self._changed = True

    def flush(self) -> None:
        if not self._changed or time.monotonic() < self._due:
            return
        self._changed = False
        self._write()

    def close(self, state: str, reason: str, model: Path | None) -> None:
        self._facts |= {"state": state, "reason": reason}
        self._picture_due = 0.0
        self._write()

    def _write(self) -> None:
        start = time.monotonic()
        try:
            try:
                if start >= self._picture_due and "train/loss" in self._curves:
                    self._draw()
            finally:  # a picture that fails costs no page, which links to it
                self._sittings[-1]["end"] = _now()
                self._facts |= {"step": self._curves.last_step or self._step, "sittings": self._sittings}
                write_facts(self._output, self._facts)
                write_whole(self._output / PAGE, run_page(self._output, self._facts, self._curves))
        finally:
            end = time.monotonic()
            self._due = end + max(_LEAST_PAUSE, _COST * (end - start))

    def _draw(self) -> None:
        from tracking.learning_curve import learning_curve  # matplotlib takes a second to import

        self._picture_due = time.monotonic() + _PICTURE_PAUSE
        write_whole(self._output / PICTURE, learning_curve(self._facts["name"], self._curves))


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
