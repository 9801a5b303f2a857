"""Config files of InsightFace's arcface_torch and arcface_oneflow: what their keys mean here.

A file of theirs is executed as it is; then `translate` turns what it states into keys of `configs/base.py`, and says
in one notice what became of each key that is not ours. Nothing here reads the dataset but its `dataset.json`.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from utils.config.file import is_relative, show_path
from utils.config.insightface_data import count_dataset, find_parts, find_recordio
from utils.config.insightface_keys import IGNORED, RENAMED, is_insightface, is_torch
from utils.config.notice import Notice
from utils.config.schema import LOSSES, PATH_KEYS

_DALI_AUG = {"low_resolution": 0.1, "blur": 0.2, "gray": 0.1}
_ONEFLOW_DEFAULTS = {"lr_power": 2.0, "margin_gradient": "exact", "clip_grad_norm": 0.0, "verbose": 600, "frequent": 50}
_SMALLEST_RATE = 1e-6  # of any number of classes fewer than a batch's, which a step always takes
_ONEFLOW_IMAGES = 5179510  # of arcface_oneflow's base.py, whose loader puts it below every file


def translate(stated: dict, file: Path, over: Mapping[str, object]) -> tuple[dict, Notice]:
    """The keys of ours for what a file states, and the notice of it. Keys that nobody knows stay.

    over: what the command line sets, which needs no translation. Files that state only keys
    of ours come back as they are, but for `warmup_epoch = -1` and a `decay_epoch` without a schedule.
    """
    layer, notice = dict(stated), Notice(show_path(file))
    theirs, torch = is_insightface(layer), is_torch(layer)
    _rename(layer, notice)
    if theirs:
        _paths(layer, notice, file)
    rec = layer.get("rec")
    find_recordio(layer, notice)
    _augmentation(layer, notice)
    _schedule(layer, notice)
    if theirs:
        notice.project = "arcface_torch" if torch else "arcface_oneflow"
        (_as_torch if torch else _as_oneflow)(layer, notice, over)
    _images(layer, notice)
    if theirs and not torch and "ofrecord_path" not in over:
        find_parts(layer, notice)
    if theirs:
        _precision(layer, notice, over)
        count_dataset(layer, notice, over, rec)
    for key in [key for key in layer if key in IGNORED]:
        del layer[key]
        notice.ignored.setdefault(IGNORED[key], []).append(key)
    return layer, notice


def _paths(layer: dict, notice: Notice, file: Path) -> None:
    """Their programs are started in the folder that holds configs/, from which relative paths are meant."""
    folder = Path(os.path.abspath(file)).parent
    root = folder.parent if folder.name == "configs" else folder
    for key in [key for key in layer if key in PATH_KEYS and is_relative(layer[key])]:
        if key != "output":
            layer[key] = os.path.normpath(root / layer[key])
        elif Path(layer[key]).parts[:1] != ("work_dirs",):
            layer[key] = os.path.join("work_dirs", layer[key])
            notice.translated.append(f"output -> {layer[key]!r}")


def _rename(layer: dict, notice: Notice) -> None:
    for name, ours in RENAMED.items():
        if name in layer:
            value = layer.pop(name)
            if layer.setdefault(ours, value) != value:
                both = f"{name} = {value!r} and {ours} = {layer[ours]!r}"
                notice.findings[ours] = f"{both} in {notice.file} disagree; keep {ours}."
            notice.translated.append(f"{name} -> {ours} = {layer[ours]!r}")


def _as_torch(layer: dict, notice: Notice, over: Mapping[str, object]) -> None:
    defaults: dict[str, object] = {"lr_power": 1.0}
    if over.get("loss", layer.get("loss")) in (None, *LOSSES):  # others have no such choice
        defaults["margin_gradient"] = "straight_through"
    _default(layer, notice, over, defaults)
    _accumulation(layer, notice, over)
    _sampling(layer, notice, True, "partial_fc is off")
    if layer.get("sample_rate") == 0:
        layer["sample_rate"] = _SMALLEST_RATE
        notice.translated.append(
            f"sample_rate = 0 -> {_SMALLEST_RATE:g}: each rank takes as many centers as the global batch has images"
            f"{_share(layer, over)}; arcface_torch takes only those of the batch's own classes"
        )


def _share(layer: dict, over: Mapping[str, object]) -> str:
    """Which part of all centers a step takes if each rank takes as many as the global batch has images."""
    known = {"batch_size": 128, "gradient_acc": 1, "num_classes": None, **layer, **over}
    images, classes = known["batch_size"], known["num_classes"]
    if not all(isinstance(value, int) and value > 0 for value in (images, classes, known["gradient_acc"])):
        return ""
    shares = ((ranks, min(1, images * known["gradient_acc"] * ranks**2 / classes)) for ranks in (1, 8))
    return f" ({', '.join(f'{share:.1%} of all with NPROC={ranks}' for ranks, share in shares)})"


def _accumulation(layer: dict, notice: Notice, over: Mapping[str, object]) -> None:
    count = over.get("gradient_acc", layer.get("gradient_acc"))
    if isinstance(count, int) and count > 1:
        notice.differs.append(
            f"gradient_acc = {count}: gradients of micro-batches are averaged here and summed there, as if lr were "
            f"{count} times as large; verbose and frequent count steps here and micro-batches there"
        )


def _as_oneflow(layer: dict, notice: Notice, over: Mapping[str, object]) -> None:
    """Classes are sampled there only with both `partial_fc` and `model_parallel`, which are off unless stated."""
    _default(layer, notice, over, _ONEFLOW_DEFAULTS)
    split = over.get("model_parallel", layer.get("model_parallel")) is True
    _sampling(
        layer,
        notice,
        split and "partial_fc" in layer,
        "arcface_oneflow samples only with partial_fc and model_parallel",
    )
    if layer.get("warmup_epoch"):
        notice.differs.append("warmup_epoch warms up here; arcface_oneflow computes a warm-up and does not use it")


def _default(layer: dict, notice: Notice, over: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Their defaults for keys of ours that the file does not state."""
    unused = {"lr_power"} if layer.get("lr_schedule", "polynomial") != "polynomial" else set()
    known = {*layer, *over, *unused}
    notice.defaults = {key: value for key, value in defaults.items() if key not in known}
    layer.update({key: value for key, value in defaults.items() if key not in layer})


def _sampling(layer: dict, notice: Notice, possible: bool, otherwise: str) -> None:
    """`sample_rate` counts only if it is possible and `partial_fc`, if stated, is on."""
    stated = "partial_fc" in layer
    partial, rate = layer.pop("partial_fc", True), layer.get("sample_rate", 1)
    if partial not in (False, True):
        wrong = f"partial_fc = {partial!r} in {notice.file} is not possible"
        notice.findings["sample_rate"] = f"{wrong}: it must be True or False."
    elif not (partial and possible) and rate != 1:
        layer["sample_rate"] = 1.0
        notice.translated.append(f"sample_rate = {rate!r} -> 1.0: {otherwise}")
    elif stated:
        notice.translated.append(f"partial_fc = {bool(partial)} -> sample_rate = {rate!r}")


def _augmentation(layer: dict, notice: Notice) -> None:
    """`dali_aug` counts only with `dali`."""
    if "dali_aug" not in layer:
        return
    if layer.pop("dali_aug") and layer.get("dali") and "augment" not in layer:
        layer["augment"] = dict(_DALI_AUG)
        notice.translated.append(
            f"dali_aug = True -> augment = {_DALI_AUG}, the nearest that there is; hue and saturation stay"
        )
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
