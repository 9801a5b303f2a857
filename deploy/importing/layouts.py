"""Whose tensors these are: layouts by the names in them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deploy.importing import ir, mxnet_names
from deploy.importing.fit import last_tensor, tensor_shapes
from deploy.importing.skeleton import candidates
from utils.errors import UserError

_HEADS = ("head.", "fc7_")  # of class centers, beside a backbone that has no prefix


@dataclass(frozen=True)
class Named:
    """Tensors with our names. layout: of deploy.importing.known; prefix: what stood before the names.

    made_up: BatchNorms that the source lacks; left_out: names of the source that are no part of the backbone.
    """

    state: dict[str, np.ndarray]
    layout: str
    prefix: str
    made_up: list[str]
    left_out: list[str]


def by_our_names(
    tensors: Mapping[str, np.ndarray],
    layout: str | None = None,
    prefix: str | None = None,
    network: str | None = None,
) -> Named:
    """`tensors` with our names. layout, prefix and network: the only ones they may be.

    Raises UserError if the layout is unknown, or there are several networks.
    """
    signatures = {ir.SIGNATURE, mxnet_names.SIGNATURE, *map(_ends, candidates(network))}
    matches = {(each, where) for each in signatures for where in _prefixes(tensors, each) if prefix in (None, where)}
    prefixes = sorted({where for _, where in matches})
    if not matches:
        some = ", ".join(f"{name} {list(array.shape)}" for name, array in list(tensors.items())[:3])
        under = f" under the prefix {prefix!r}" if prefix is not None else ""
        raise UserError(f"its tensors are in none of the layouts that are known{under}; the first are {some}")
    if len(prefixes) > 1:
        raise UserError(f"it holds several networks; choose one with --prefix, of {', '.join(map(repr, prefixes))}")
    ((where,), names) = prefixes, {each for each, _ in matches}
    heads = tuple(where + head for head in _HEADS) if names & {ir.SIGNATURE, mxnet_names.SIGNATURE} else ()
    taken = [name for name in tensors if name.startswith(where) and not name.startswith(heads)]
    backbone = {name.removeprefix(where): tensors[name] for name in taken}
    left_out = [name for name in tensors if name not in taken]
    if ir.SIGNATURE in names:
        whose = _whose_ir(backbone, where, layout)
        state, made_up = ir.from_ir(backbone)
        return Named(state, whose, where, made_up, left_out)
    if mxnet_names.SIGNATURE in names:
        return Named(mxnet_names.from_mxnet(backbone), _only("mxnet", layout), where, [], left_out)
    is_magface = "features." in where and layout != "arcface_torch"
    whose = layout if layout == "magface" else _only("magface" if is_magface else "arcface_torch", layout)
    return Named(backbone, whose, where, [], left_out)


def _ends(network: str) -> tuple[str, ...]:
    """The first and the last name of a network here."""
    return next(iter(tensor_shapes(network, 512))), last_tensor(network)


def _prefixes(tensors: Mapping[str, np.ndarray], signature: tuple[str, ...]) -> set[str]:
    """Before which all names of the signature stand."""
    first = signature[0]
    ends = [name.removesuffix(first) for name in tensors if name == first or name.endswith(f".{first}")]
    return {prefix for prefix in ends if all(prefix + name in tensors for name in signature)}


def _whose_ir(tensors: Mapping[str, np.ndarray], prefix: str, layout: str | None) -> str:
    if not ir.has_middle_norm(tensors):
        return _only("curricularface", layout)
    if layout in ("adaface", "tface"):
        return layout
    if layout is None and prefix.endswith("model."):
        return "adaface"
    if layout is None:
        raise UserError(
            "AdaFace (BGR) and TFace (RGB) have these names; say whose they are with --layout adaface or --layout tface"
        )
    return _only("adaface", layout)


def _only(layout: str, wanted: str | None) -> str:
    if wanted not in (None, layout):
        raise UserError(f"these are names of {layout}, not of {wanted}")
    return layout
