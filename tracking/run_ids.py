"""`trackers.json` of a run: what it is called in trackers of experiments, so that a resumed run goes on there."""

import json
import threading
from pathlib import Path

from utils.errors import UserError
from utils.files import write_whole
from utils.reading.json_file import is_text, read_object

_FILE = "trackers.json"
_ALONE = threading.Lock()  # each tracker is written to by a thread of its own, and the file is all trackers'


def known_id(output: Path, tracker: str) -> str | None:
    """The run's id of before, or None if there is none to read."""
    return _read(output).get(tracker)


def keep_id(output: Path, tracker: str, run_id: str) -> None:
    """Raises UserError where it cannot be written."""
    with _ALONE:
        write_whole(output / _FILE, (json.dumps(_read(output) | {tracker: run_id}, indent=1) + "\n").encode())


def _read(output: Path) -> dict[str, str]:
    try:
        ids = read_object(output / _FILE, "is damaged")
    except (UserError, FileNotFoundError):
        return {}  # then the run is a new one there
    return {tracker: run_id for tracker, run_id in ids.items() if is_text(run_id)}
