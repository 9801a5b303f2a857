"""What runs note for those that go on with them."""

import json
import logging
from pathlib import Path

import numpy as np
import onnx

from data.manifest import Part
from deploy.input_format import OWN
from deploy.model_card import WEIGHTS_KEY, write_card
from deploy.weights import save_backbone
from engine.checkpoint import list_checkpoints, step_of
from launch.token import read_token
from preparation.align.task import Row, note_path, read_note
from preparation.convert.job import Job
from preparation.drawn.folder import make_demo_folder
from tests.fuzz.format import Format
from tracking.comparison import comparison_page, read_runs
from tracking.facts import FACTS, read_facts
from tracking.page import RunPage
from tracking.records import Records
from tracking.run_ids import keep_id, known_id
from tracking.run_page import run_page
from tracking.series import read_curves
from utils.config import load_config
from utils.config.file import written_keys
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


def make_run(folder: Path) -> None:
    records = Records(folder, 0, [RunPage(folder, 0)], logging.getLogger("fuzz"))
    records.describe(
        {
            "total_steps": 4,
            "global_batch": 8,
            "summary": {"network": "r50"},
            "phases": [{"first": 0, "stop": 4, "facts": {"loss": "arcface"}}] * 2,
            "config": [["lr", "0.1", True]],
            "versions": {"Python": "3.10"},
            "best": {"lfw": {"accuracy": 0.5, "step": 2}},
        }
    )
    records.pictures("phase-1", 1, np.zeros((2, 8, 8, 3), np.uint8))
    for step in range(1, 5):
        records.add(step, {"train/loss": 1 / step, "verification/lfw/accuracy": 0.5})
    records.close("complete")
    keep_id(folder, "wandb", "abc")


def read_run(folder: Path) -> str:
    """Pages of it can be made, or what is damaged is named."""
    identity = known_id(folder, "wandb")
    assert identity is None or isinstance(identity, str)
    run_page(folder, read_facts(folder), read_curves(folder / "history.jsonl"))
    comparison_page(read_runs([folder]))
    return ""


def make_card(folder: Path) -> None:
    make_run(folder)
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", ports[:1], ports[1:]))
    about = {"network": "r50", "embedding_size": "512", "precision": "fp32", "input": str(OWN), WEIGHTS_KEY: "0"}
    onnx.helper.set_model_props(model, about)
    for name in ("model.onnx", "other.onnx"):
        (folder / name).write_bytes(model.SerializeToString())
    save_backbone(folder, {"fc.weight": np.ones((2, 3), np.float32)}, "r50", 2, step=3)
    write_card(folder / "model.onnx", folder, "0", [], "drawn faces", "mit")


def read_card(folder: Path) -> str:
    write_card(folder / "model.onnx", folder, "0", [], "drawn faces")
    return ""


def make_token(folder: Path) -> None:
    read_token({"MASTER_TOKEN_FILE": str(folder / "token")}, node=0, addr="node0")


def read_damaged_token(folder: Path) -> str:
    (folder / "token").chmod(0o600)
    token, said = read_token({"MASTER_TOKEN_FILE": str(folder / "token")}, node=1, addr="node0")
    assert token.isascii() and not said
    return ""


def make_insightface(folder: Path) -> None:
    counts = {"num_classes": 5, "num_records": 500}
    (folder / "dataset.json").write_text(json.dumps(counts))
    keys = {"network": "r50", "rec": str(folder), "dali": False, "num_classes": 7, "num_image": 400, "batch_size": 8}
    lines = [f"config.{key} = {value!r}" for key, value in keys.items()]
    (folder / "theirs.py").write_text("\n".join(["from easydict import EasyDict", "config = EasyDict()", *lines]))


def read_insightface(folder: Path) -> str:
    """Counts of a dataset take the place of a file's, if they can be counts."""
    cfg = load_config(folder / "theirs.py", require_data=False)
    assert all(isinstance(value, int | None) for value in (cfg.num_classes, cfg.num_image))
    return ""


def make_base(folder: Path) -> None:
    lines = ["from easydict import EasyDict", "config = EasyDict()", "config.network = 'r50'", "config.dali = False"]
    (folder / "base.py").write_text("\n".join(lines))


def read_base(folder: Path) -> str:
    """The source is read, and not executed."""
    keys = written_keys(folder / "base.py")
    assert keys is None or all(isinstance(key, str) for key in keys)
    return ""


FORMATS = (
    Format("base", ("utils.config.file",), make_base, ("base.py",), read_base),
    Format("insightface", ("utils.config.insightface_data",), make_insightface, ("dataset.json",), read_insightface),
    Format(
        "run",
        ("tracking.facts", "tracking.run_ids", "tracking.run_page"),
        make_run,
        (FACTS, "history.jsonl", "trackers.json", "samples/phase-1.jpg"),
        read_run,
    ),
    Format("model_card", ("deploy.model_card",), make_card, ("other.onnx", "README.md", FACTS), read_card),
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
    Format("token", ("launch.token",), make_token, ("token",), read_damaged_token),
)
