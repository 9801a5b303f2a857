"""From a file of anyone's to a backbone here."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from deploy.embedder import Embedder
from deploy.images import drawn_faces
from deploy.importing.fit import fit_to_network, some
from deploy.importing.identity import EPSILON, to_our_epsilon
from deploy.importing.known import LAYOUTS
from deploy.importing.layouts import by_our_names
from deploy.importing.onnx_layers import layers_of, scaling_inside
from deploy.importing.onnx_order import from_layers, network_of
from deploy.importing.pixels import linear, take_our_pixels
from deploy.importing.read import ONNX, kind_of, read_named
from deploy.input_format import InputFormat, parse_input
from deploy.onnx_embedder import OnnxEmbedder
from deploy.onnx_options import OnnxOptions
from utils.errors import UserError
from utils.reading.faults import broken_file

_AGREEMENT = 1e-3  # of the largest number; between ONNX Runtime and OneFlow 1e-5 is usual


@dataclass(frozen=True)
class Choices:
    """What a user knows of a file and it does not say itself; None: it does.

    network: a name here; layout: a key of deploy.importing.known.LAYOUTS; prefix: of the names; input: as
    deploy/input_format.py reads it; output: of an ONNX model. fold_offset: as `take_our_pixels` takes it.
    """

    network: str | None = None
    layout: str | None = None
    prefix: str | None = None
    input: str | None = None
    output: str | None = None
    fold_offset: bool = False


@dataclass(frozen=True)
class Imported:
    """made_up: names of BatchNorms that the source lacks or had folded; said: what was done, for a person."""

    network: str
    embedding_size: int
    state: dict[str, np.ndarray]
    input: InputFormat
    source: str
    made_up: list[str]
    said: list[str]

    def embedder(self) -> Embedder:
        embedder = Embedder(self.network, self.embedding_size, input_format=self.input)
        embedder.load(self.state)
        return embedder


def import_weights(path: Path, choices: Choices, torch_python: str) -> Imported:
    """The weights in `path` as a backbone here. Raises UserError, in one sentence, if they are of none."""
    kind = kind_of(path)
    try:
        return _from_onnx(path, choices) if kind == ONNX else _from_names(path, kind, choices, torch_python)
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"{path}: {error}") from None


def _from_names(path: Path, kind: str, choices: Choices, torch_python: str) -> Imported:
    if choices.output:
        raise UserError("--onnx_output is for ONNX models")
    tensors = read_named(path, kind, torch_python)
    named = by_our_names(tensors, choices.layout, choices.prefix, choices.network)
    layout = LAYOUTS[named.layout]
    network, state, size = fit_to_network(named.state, choices.network)
    theirs = parse_input(choices.input or "", parse_input(layout.input))
    adapted = take_our_pixels(to_our_epsilon(state, layout.epsilon), theirs, choices.fold_offset)
    taken = len(tensors) - len(named.left_out)
    said = [f"{kind}, {layout.whose}: {taken} tensors" + (f" under {named.prefix!r}" if named.prefix else "")]
    said += [f"left out: {some(named.left_out)}"] if named.left_out else []
    if layout.epsilon != EPSILON:
        said.append(f"running variances raised by {layout.epsilon - EPSILON:.3g}, their BatchNorms' greater epsilon")
    said += adapted.said
    source = f"{path.name} ({named.layout})"
    return _checked(Imported(network, size, adapted.state, adapted.input, source, named.made_up, said))


def _from_onnx(path: Path, choices: Choices) -> Imported:
    if choices.layout or choices.prefix:
        raise UserError("--layout and --prefix are for names, which say nothing in an ONNX model")
    theirs = OnnxEmbedder(path, options=OnnxOptions(choices.input, choices.output))
    with broken_file(path, "is not a whole ONNX model"):
        model = onnx.load(path)
    layers = layers_of(model, theirs.output, EPSILON)
    network, size = network_of(layers, choices.network)
    state, folded = from_layers(layers, network, size)
    network, state, size = fit_to_network(state, network)
    scale, shift = scaling_inside(model.graph, theirs.input_name)
    outer_scale, outer_shift = theirs.input.affine
    pixels = replace(
        theirs.input, expression=linear(*np.broadcast_arrays(scale * outer_scale, scale * outer_shift + shift))
    )
    adapted = take_our_pixels(state, pixels, choices.fold_offset)
    said = [f"ONNX, layers by their order: {len(layers)}; takes {theirs.input} ({theirs.input_from})", *adapted.said]
    imported = _checked(Imported(network, size, adapted.state, adapted.input, f"{path.name} (ONNX)", folded, said))
    return imported if choices.fold_offset else _compared(imported, theirs)


def _checked(imported: Imported) -> Imported:
    """`imported`, if its numbers are some. Raises UserError naming a tensor that holds others."""
    bad = [name for name, array in imported.state.items() if not np.isfinite(array).all()]
    negative = [name for name, array in imported.state.items() if name.endswith("running_var") and array.min() < 0]
    if bad or negative:
        raise UserError(f"{(bad + negative)[0]} holds {'NaN or infinity' if bad else 'negative variances'}")
    return imported


def _compared(imported: Imported, theirs: OnnxEmbedder) -> Imported:
    """`imported`, if it computes what the model computes. Raises UserError if not: strides, say, may differ."""
    faces = drawn_faces(4)
    wanted, ours = theirs(faces), imported.embedder()(faces)
    difference = float(np.abs(ours - wanted).max() / np.abs(wanted).max())
    if not difference < _AGREEMENT:
        raise UserError(
            f"it has the layers of {imported.network} but is another network: embeddings of four faces differ by "
            f"{difference:.2g} of their largest number"
        )
    said = [*imported.said, f"compared on four faces: the largest difference is {difference:.1e} of the largest number"]
    return replace(imported, said=said)
