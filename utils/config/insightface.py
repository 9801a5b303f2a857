"""Config files of InsightFace's arcface_torch and arcface_oneflow: what their keys mean here.

A file of theirs is executed as it is; then `translate` turns what it states into keys of `configs/base.py`, and says
in one notice what became of each key that is not ours. Nothing here reads the dataset but its `dataset.json`.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from utils.config.insightface_keys import IGNORED, RENAMED, is_insightface, is_torch
from utils.config.schema import LOSSES
from utils.errors import UserError
from utils.reading.json_file import read_object

_DALI_AUG = {"low_resolution": 0.1, "blur": 0.2, "gray": 0.1}
_ONEFLOW_DEFAULTS = {"lr_power": 2.0, "margin_gradient": "exact", "clip_grad_norm": 0.0, "verbose": 600, "frequent": 50}
_SMALLEST_RATE = 1e-6  # of any number of classes fewer than a batch's, which a step always takes
_ONEFLOW_IMAGES = 5179510  # of arcface_oneflow's base.py, whose loader puts it below every file


@dataclass
class Notice:
    """What became of a file's keys: `translated` into ours, `ignored` (reason -> keys), or `missing` data."""

    file: str
    project: str = ""  # of InsightFace's, for which the file was written
    defaults: dict[str, object] = field(default_factory=dict)  # of keys of ours it does not state, as they are there
    translated: list[str] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        stated = ", ".join(f"{key} = {value}" for key, value in self.defaults.items())
        head = f"{self.file} is an {self.project} config" + (f"; defaults as there: {stated}." if stated else ".")
        lines = [head if self.project else f"{self.file}:"]
        lines += [f"  translated  {line}" for line in self.translated]
        lines += [f"  ignored     {', '.join(keys)}: {reason}" for reason, keys in self.ignored.items()]
        lines += [f"  missing     {line}" for line in self.missing]
        return "\n".join(lines) if len(lines) > 1 else ""


def translate(stated: dict, file: str, over: Mapping[str, object]) -> tuple[dict, Notice]:
    """The keys of ours for what a file states, and the notice of it. Keys that nobody knows stay.

    file: as messages name it. over: what the command line sets, which needs no translation. Files that state only keys
    of ours come back as they are, but for `warmup_epoch = -1` and a `decay_epoch` without a schedule.
    """
    layer, notice = dict(stated), Notice(file)
    theirs, torch = is_insightface(layer), is_torch(layer)
    _rename(layer, notice)
    _recordio(layer, notice)
    _augmentation(layer, notice)
    _schedule(layer, notice)
    if theirs:
        notice.project = "arcface_torch" if torch else "arcface_oneflow"
        (_as_torch if torch else _as_oneflow)(layer, notice, over)
    _images(layer, notice)
    if theirs:
        _precision(layer, notice, over)
        _dataset(layer, notice, over, stated.get("rec"))
    for key in [key for key in layer if key in IGNORED]:
        del layer[key]
        notice.ignored.setdefault(IGNORED[key], []).append(key)
    return layer, notice


def _rename(layer: dict, notice: Notice) -> None:
    for name, ours in RENAMED.items():
        if name in layer:
            value = layer.pop(name)
            layer.setdefault(ours, value)
            notice.translated.append(f"{name} -> {ours} = {layer[ours]!r}")


def _as_torch(layer: dict, notice: Notice, over: Mapping[str, object]) -> None:
    defaults: dict[str, object] = {"lr_power": 1.0}
    if over.get("loss", layer.get("loss")) in (None, *LOSSES):  # others have no such choice
        defaults["margin_gradient"] = "straight_through"
    _default(layer, notice, over, defaults)
    if "partial_fc" in layer:
        _whole_head(layer, notice, bool(layer.pop("partial_fc")), "partial_fc is off")
    if layer.get("sample_rate") == 0:
        layer["sample_rate"] = _SMALLEST_RATE
        notice.translated.append(
            f"sample_rate = 0 -> {_SMALLEST_RATE:g}: the classes of the global batch, and no more than its images"
        )


def _as_oneflow(layer: dict, notice: Notice, over: Mapping[str, object]) -> None:
    """Classes are sampled there only with both `partial_fc` and `model_parallel`, which are off unless stated."""
    _default(layer, notice, over, _ONEFLOW_DEFAULTS)
    both = bool(layer.pop("partial_fc", False)) and over.get("model_parallel", layer.get("model_parallel")) is True
    _whole_head(layer, notice, both, "arcface_oneflow samples only with partial_fc and model_parallel")
    if layer.get("warmup_epoch"):
        notice.translated.append("warmup_epoch warms up here; arcface_oneflow computes a warm-up and does not use it")


def _default(layer: dict, notice: Notice, over: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Their defaults for keys of ours that the file does not state."""
    unused = {"lr_power"} if layer.get("lr_schedule", "polynomial") != "polynomial" else set()
    known = {*layer, *over, *unused}
    notice.defaults = {key: value for key, value in defaults.items() if key not in known}
    layer.update({key: value for key, value in defaults.items() if key not in layer})


def _whole_head(layer: dict, notice: Notice, sampled: bool, reason: str) -> None:
    rate = layer.get("sample_rate", 1)
    if not sampled and rate != 1:
        layer["sample_rate"] = 1.0
        notice.translated.append(f"sample_rate = {rate!r} -> 1.0: {reason}")


def _recordio(layer: dict, notice: Notice) -> None:
    """`rec` is a folder of recordio, which is used converted."""
    rec = layer.pop("rec", None)
    if rec is None:
        return
    if rec == "synthetic":
        layer["synthetic"] = True
        notice.translated.append("rec = 'synthetic' -> synthetic = True")
    elif "ofrecord_path" in layer:
        notice.ignored.setdefault(IGNORED["dataset"], []).append("rec")
    else:
        layer["ofrecord_path"] = _converted(str(rec))
        notice.translated.append(f"rec = {rec!r} -> ofrecord_path = {layer['ofrecord_path']!r}")


def _converted(rec: str) -> str:
    """The folder of the set that was made from the recordio in `rec`; the usual one if there is none yet."""
    beside = (rec, f"{rec.rstrip('/')}/ofrecord", f"{rec.rstrip('/')}_ofrecord")
    return next((path for path in beside if Path(path, "dataset.json").exists()), beside[1])


def _augmentation(layer: dict, notice: Notice) -> None:
    """`dali_aug` counts only with `dali`."""
    if "dali_aug" not in layer:
        return
    if layer.pop("dali_aug") and layer.get("dali") and "augment" not in layer:
        layer["augment"] = dict(_DALI_AUG)
        notice.translated.append(f"dali_aug = True -> augment = {_DALI_AUG}, the nearest that there is")
    else:
        notice.ignored.setdefault("it counts only with dali = True", []).append("dali_aug")


def _schedule(layer: dict, notice: Notice) -> None:
    if layer.get("warmup_epoch") == -1:
        layer["warmup_epoch"] = 0
        notice.translated.append("warmup_epoch = -1 -> 0: no warm-up")
    if layer.get("decay_epoch") and "lr_schedule" not in layer:
        layer["lr_schedule"] = "multistep"
        notice.translated.append("decay_epoch alone -> lr_schedule = 'multistep', as arcface_oneflow decays")


def _images(layer: dict, notice: Notice) -> None:
    if layer.get("num_image") == "forget":
        layer["num_image"] = None
        notice.translated.append("num_image = 'forget' -> None: read from the dataset")
    theirs = notice.project or notice.translated
    if theirs and layer.get("synthetic") is True and layer.get("num_image") is None:
        layer["num_image"] = _ONEFLOW_IMAGES
        notice.translated.append(f"num_image is not stated -> {_ONEFLOW_IMAGES}, as arcface_oneflow's base.py has it")


def _precision(layer: dict, notice: Notice, over: Mapping[str, object]) -> None:
    accumulated = layer.get("gradient_acc", 1)
    both = layer.get("fp16") is True and isinstance(accumulated, int) and accumulated > 1
    if both and not over.keys() & {"fp16", "gradient_acc"}:
        layer["fp16"] = False
        stated = f"fp16 = True with gradient_acc = {accumulated}"
        notice.translated.append(f"{stated} -> fp16 = False: OneFlow 0.9.0 compiles only one of them")


def _dataset(layer: dict, notice: Notice, over: Mapping[str, object], rec: object) -> None:
    """The counts of the dataset, or the command that makes it. Files state those of the original sets, some of them off
    by one; a converted set knows its own.
    """
    path = over.get("ofrecord_path", layer.get("ofrecord_path"))
    if over.get("synthetic", layer.get("synthetic")) is True or not isinstance(path, str):
        return
    try:
        found = read_object(Path(path, "dataset.json"), "is damaged")
    except FileNotFoundError:
        if "ofrecord_path" not in over:
            notice.missing.append(f"there is no dataset in {path} yet; {_making(path, rec, layer)}")
        return
    except (UserError, OSError):  # reported when the dataset is opened
        return
    for key, counted in (("num_classes", found.get("num_classes")), ("num_image", found.get("num_records"))):
        if layer.get(key) is not None and counted is not None and layer[key] != counted:
            notice.translated.append(f"{key} = {layer[key]!r} -> {counted}, as the dataset has it")
            layer[key] = counted


def _making(path: str, rec: object, layer: dict) -> str:
    """How a dataset gets into the folder `path`."""
    out = shlex.quote(path)
    if isinstance(rec, str):
        source = shlex.quote(rec)
        if Path(rec).is_dir() and not Path(rec, "train.rec").exists():
            return f"make it once: python tools/prepare_dataset.py {source} --out {out}"
        return f"make it once: python tools/mx_recordio_2_ofrecord.py --data_dir {source} --out {out}"
    if any(Path(path).glob("part-*")):
        classes = f" --num_classes {layer['num_classes']}" if layer.get("num_classes") else ""
        return f"index its parts: python tools/index_ofrecord.py {out}{classes}"
    return f"make it once: python tools/prepare_dataset.py SOURCE --out {out}"
