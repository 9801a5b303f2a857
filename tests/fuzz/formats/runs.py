"""What runs note for those that go on with them."""

import json
import logging
from pathlib import Path

from data.manifest import Part
from engine.checkpoint import list_checkpoints, step_of
from preparation.align.task import Row, note_path, read_note
from preparation.convert.job import Job
from preparation.drawn.folder import make_demo_folder
from tests.fuzz.format import Format
from tracking.records import Records
from utils.errors import UserError

_COUNTS = {"records": 3}


def make_notes(folder: Path) -> None:
    (folder / "history.jsonl").write_text("".join(json.dumps({"step": n, "train/loss": 0.5}) + "\n" for n in range(4)))
    job = Job(folder / "out", "x")
    job.folder.mkdir(parents=True)
    (job.folder / "job.json").write_text(json.dumps({"parameters": {"a": 1}, "counts": _COUNTS}))
    (job.folder / "part-00000.x.json").write_text(
        json.dumps({"name": "part-00000", "records": 1, "bytes": 3, "crc32": 9})
    )
    (folder / "out/part-00000").write_bytes(b"abc")
    (folder / "demo").mkdir()
    (folder / "demo/demo.json").write_text(json.dumps({"people": 3, "seed": 0}))
    note_path(folder, 0).write_text(json.dumps([{"photo": "a", "kept": "b", "reason": "", "faces": 1}]))


def read_notes(folder: Path) -> str:
    """Nothing of this is refused: what is damaged is made again."""
    Records(folder, 2, [], logging.getLogger("fuzz")).close("complete")
    job = Job(folder / "out", "x")
    counts, part = job.resume({"a": 1}), job.finished_part("part-00000")
    assert counts is None or isinstance(counts, dict)
    assert part is None or isinstance(part, Part)
    rows = read_note(note_path(folder, 0))
    assert rows is None or all(isinstance(row, Row) for row in rows)
    [step_of(path) for path in list_checkpoints(folder)]
    try:
        make_demo_folder(folder / "demo", "demo dataset", {"people": 3, "seed": 0}, False, lambda path: None)
    except UserError as error:
        assert "demo" in str(error)
    return ""


FORMATS = (
    Format(
        "notes",
        ("tracking.history", "preparation.convert.job", "preparation.align.task", "preparation.drawn.folder"),
        make_notes,
        (
            *("history.jsonl", "out/_converting/job.json", "out/_converting/part-00000.x.json"),
            *("demo/demo.json", "slice-000000000.json"),
        ),
        read_notes,
    ),
)
