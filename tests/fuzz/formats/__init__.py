"""All formats by name. Their modules import half of the project, so each is imported when it is asked for."""

import importlib
from collections.abc import Iterator, Mapping

from tests.fuzz.format import Format

_MODULES = {
    "sets": ("ofrecord", "ofrecord_whole", "ofrecord_source", "recordio", "bin"),
    "archives": ("tar", "zip", "webdataset", "folder"),
    "images": ("images",),
    "lists": ("lists", "ijb"),
    "results": ("embeddings", "embeddings_about", "gallery", "result", "thresholds"),
    "models": (
        "model",
        "model_about",
        "model_mixed",
        "checkpoint",
        "checkpoint_unsealed",
        "safetensors",
        "mxnet",
        "mapped",
    ),
    "onnx_models": ("onnx", "onnx_layers", "detector", "yunet", "scrfd"),
    "runs": ("base", "insightface", "run", "model_card", "notes", "token"),
}


class _Formats(Mapping):
    def __init__(self) -> None:
        self._module_of = {name: module for module, names in _MODULES.items() for name in names}

    def __getitem__(self, name: str) -> Format:
        module = importlib.import_module(f"{__name__}.{self._module_of[name]}")
        return next(form for form in module.FORMATS if form.name == name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._module_of)

    def __len__(self) -> int:
        return len(self._module_of)


FORMATS = _Formats()


def modules() -> dict[str, list[str]]:
    """The names of the formats in each module, as the modules have them."""
    found = {name: importlib.import_module(f"{__name__}.{name}") for name in _MODULES}
    return {name: [form.name for form in module.FORMATS] for name, module in found.items()}
