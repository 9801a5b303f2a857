"""What became of a damaged file: read in this process, measured and put in a word."""

import hashlib
import shutil
import time
import traceback
from pathlib import Path

from tests.fuzz.format import Format
from utils.errors import UserError
from utils.printable import printable

ACCEPTED, REFUSED = "accepted", "refused"
SIGNAL, TRACEBACK, HANG, MEMORY, SILENT, UNNAMED = "signal", "traceback", "hang", "gigabytes", "silent", "unnamed"
FAULTS = (SIGNAL, TRACEBACK, HANG, MEMORY, SILENT, UNNAMED)
MAX_GROWTH = 700 << 20  # bytes that reading one small file may take for a moment
MAX_SECONDS = 10.0


def judge(form: Format, folder: Path, file: str, whole: str | None) -> tuple[str, str]:
    """Reads what is in `folder`, of which `file` was damaged: one of the words above, and what was said.

    whole: what undamaged files hold; None: not known.
    """
    before, begin = _reset_peak(), time.monotonic()
    said, fate, found = "", ACCEPTED, None
    try:
        found = form.read(folder)
    except UserError as error:
        fate, said = REFUSED, str(error)
        if isinstance(error.__context__, MemoryError):
            fate = MEMORY
        elif not _is_clear(said, folder / file):
            fate = UNNAMED
    except MemoryError:
        fate, said = MEMORY, traceback.format_exc()
    except BaseException:
        fate, said = TRACEBACK, traceback.format_exc()
    grown = _status("VmHWM") - before
    if grown > MAX_GROWTH:
        return MEMORY, f"{grown >> 20} MB; {said}"
    if time.monotonic() - begin > MAX_SECONDS:
        return HANG, f"{time.monotonic() - begin:.0f} s; {said}"
    if fate == ACCEPTED and form.sealed and found != whole:
        return SILENT, "it holds something else"
    return fate, said


def digest(*values: object) -> str:
    """Of arrays, bytes, and what has a text."""
    whole = hashlib.sha256()
    for value in values:
        whole.update(
            value if isinstance(value, bytes) else getattr(value, "tobytes", lambda v=value: repr(v).encode())()
        )
    return whole.hexdigest()


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _is_clear(said: str, file: Path) -> bool:
    """Whether a sentence says which file it is about, or its folder; `utils.printable` makes it printable."""
    names = (file.name, file.stem, file.parent.name)
    return any(name in printable(said) for name in names)


def _reset_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key + ":"))
    return int(line.split()[1]) << 10
