"""The data that a config of InsightFace's names: which folder of ours it is, what it holds, or how it is made."""

import glob
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from utils.config.file import REPO
from utils.config.insightface_keys import IGNORED
from utils.config.notice import Notice
from utils.config.schema import SCHEMA
from utils.errors import UserError
from utils.reading.json_file import is_positive, read_object


def find_recordio(layer: dict, notice: Notice) -> None:
    """`rec` is a folder of recordio, which is used converted."""
    rec = layer.pop("rec", None)
    if rec is None:
        return
    if not _is_path(rec):
        wrong = f"rec = {rec!r} in {notice.file} is not possible"
        notice.findings["ofrecord_path"] = f'{wrong}: it must be a path, or "synthetic".'
    elif rec == "synthetic":
        layer["synthetic"] = True
        notice.translated.append("rec = 'synthetic' -> synthetic = True")
    elif "ofrecord_path" in layer:
        notice.ignored.setdefault(IGNORED["dataset"], []).append("rec")
    else:
        layer["ofrecord_path"] = _converted(rec)
        notice.translated.append(f"rec = {rec!r} -> ofrecord_path = {layer['ofrecord_path']!r}")


def _converted(rec: str) -> str:
    """The folder of the set that was made from the recordio in `rec`; the usual one if there is none yet."""
    beside = (rec, f"{rec.rstrip('/')}/ofrecord", f"{rec.rstrip('/')}_ofrecord")
    return next((path for path in beside if os.path.exists(os.path.join(path, "dataset.json"))), beside[1])


def find_parts(layer: dict, notice: Notice) -> None:
    """arcface_oneflow has the parts in `ofrecord_path`/train, and the .bin sets beside that folder."""
    path = layer.get("ofrecord_path")
    if not _is_path(path) or _has_parts(path) or not _has_parts(os.path.join(path, "train")):
        return
    layer["ofrecord_path"] = os.path.join(path, "train")
    notice.translated.append(f"ofrecord_path = {path!r} -> {layer['ofrecord_path']!r}, where its parts are")
    if layer.get("val_path") is None:
        layer["val_path"] = path
        notice.translated.append(f"val_path is not stated -> {path!r}, where arcface_oneflow has the .bin sets")


def count_dataset(layer: dict, notice: Notice, over: Mapping[str, object], rec: object) -> None:
    """The counts of the dataset, or the command that makes it. Files state those of the original sets, some of them off
    by one; a converted set knows its own.
    """
    path = over.get("ofrecord_path", layer.get("ofrecord_path"))
    if over.get("synthetic", layer.get("synthetic")) is True or not _is_path(path):
        return
    try:
        manifest = read_object(Path(path, "dataset.json"), "is damaged")
    except FileNotFoundError:
        if "ofrecord_path" not in over:
            notice.missing.append(f"there is no dataset in {path} yet; {_making(path, rec, layer)}")
        return
    except (UserError, OSError):  # reported when the dataset is opened
        return
    for key, counted in (("num_classes", manifest.get("num_classes")), ("num_image", manifest.get("num_records"))):
        # A count that none can be is reported when the dataset is opened.
        known = is_positive(counted) and SCHEMA[key].check(counted)
        if layer.get(key) is not None and known and layer[key] != counted:
            notice.translated.append(f"{key} = {layer[key]!r} -> {counted}, as the dataset has it")
            layer[key] = counted


def _making(path: str, rec: object, layer: dict) -> str:
    """How a dataset gets into the folder `path`."""
    out = shlex.quote(path)
    if isinstance(rec, str):
        source = shlex.quote(rec)
        if os.path.isdir(rec) and not os.path.exists(os.path.join(rec, "train.rec")):
            return f"make it once: {_tool('prepare_dataset')} {source} --out {out}"
        return f"make it once: {_tool('mx_recordio_2_ofrecord')} --data_dir {source} --out {out}"
    if _has_parts(path):
        classes = f" --num_classes {layer['num_classes']}" if layer.get("num_classes") else ""
        return f"index its parts: {_tool('index_ofrecord')} {out}{classes}"
    return f"make it once: {_tool('prepare_dataset')} SOURCE --out {out}"


def _is_path(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value != "" and "\0" not in value


def _has_parts(path: str) -> bool:
    return bool(glob.glob(os.path.join(glob.escape(path), "part-*")))


def _tool(name: str) -> str:
    """The command of a tool, as it runs in the cwd."""
    file = f"tools/{name}.py"
    return f"python {file if Path.cwd() == REPO else shlex.quote(str(REPO / file))}"
