"""`README.md` beside exported models: what they are, of what, how good, and under which license.

It begins with the fields that the Hugging Face hub reads, so that a folder of an export is one of the hub's as it is:
`hf upload NAME FOLDER`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from deploy.input_format import parse_input
from deploy.onnx_check import Difference
from deploy.onnx_ports import INPUT as INPUT_KEY
from deploy.thresholds import Threshold, measured_thresholds
from deploy.weights import trained_steps
from tracking.facts import FACTS, changes_training, read_facts
from utils.errors import UserError
from utils.files import digest_of, show_name, show_size, write_whole

CARD = "README.md"
WEIGHTS_KEY = "weights_sha256"  # of the metadata of exported models
_OURS = "<!-- Written by export.py, which replaces it; remove this line to keep what you change. -->"
_PIECE = 1 << 20  # bytes
_NO_LICENSE = "unknown"
_CHOOSE = "Nobody has chosen one yet: give `--license` when exporting. "
_DATA_TOO = "The terms of the training images hold for what was trained on them, too."
_LIMITS = (
    "How well it does on people who are rare in its training images was not measured, if no set above says so. Faces "
    "have to be found and aligned as those it was trained on."
)
_ALIGNED = "eyes, nose and mouth at the places where InsightFace's `norm_crop` puts them"
_ABSOLUTE = re.compile("""^/.*/|(?<=['"])/[^'"]*/""")  # the folders of a path that a text or a literal begins with
_ABOVE = 2  # folders from a checkpoint or a best model up to its run


@dataclass(frozen=True)
class Exported:
    """A model that the card is of, from its metadata. input: as deploy/input_format.py says it."""

    file: Path
    network: str
    embedding_size: str
    precision: str
    input: str
    digest: str

    @property
    def size(self) -> str:
        return show_size(self.file.stat().st_size)


def write_card(
    model: Path,
    weights: Path,
    weights_digest: str,
    differences: Sequence[Difference],
    source: str,
    license: str | None = None,
) -> str:
    """Writes the card of the exported `model`, and of those of the same weights beside it; a sentence that says so.

    weights: the file or folder it was exported from, with its digest (`deploy.embedder.model_digest`); differences: of
    `export_onnx`, on images from `source`. license: the name of one, as the hub has it, such as "apache-2.0"; by
    default that of the card that is there. A card that somebody else wrote stays.

    Raises UserError if it cannot be written.
    """
    card = model.parent / CARD
    before = card.read_text(errors="replace") if card.exists() else _OURS
    if _OURS not in before:
        return f"{card} is not of export.py and stays as it is: no model card is written"
    chosen = re.search(r'^license: "(.+)"$', before, re.MULTILINE)
    license = license or (chosen[1] if chosen else _NO_LICENSE)
    run = _facts_of(weights)
    folder = weights if weights.is_dir() else weights.parent
    name = run["name"] if run else show_name(folder.resolve())
    paths = sorted(model.parent.glob("*.onnx"))
    exported = [each for path in paths if (each := _read(path, weights_digest))]
    known = measured_thresholds(weights, weights_digest)
    of = next(each for each in exported if each.file == model)
    files = [[_span(show_name(each.file)), _text(each.precision), each.size, _span(each.digest)] for each in exported]
    parts = [
        _front_matter(name, of, known, license),
        _OURS,
        f"# {_text(name)}",
        f"A network for face recognition: a face in, {of.embedding_size} numbers out, which are close for pictures of "
        "one person and far apart for pictures of two. "
        f"{_text(of.network)}, trained with OneFlow and exported as ONNX.",
        "## Files",
        _table(["file", "precision", "size", "SHA-256"], files),
        f"From weights with SHA-256 `{weights_digest}`. {_span(show_name(model))} was compared with them on "
        f"{_text(_without_folders(source))}:",
        "\n".join(f"- {difference}" for difference in differences),
        "## Use",
        _use(of),
        "## Figures",
        _figures(known, run, trained_steps(weights)),
        "## Data",
        _summary(run, ("data", "digest of the data", "images", "augmentation")),
        "## Recipe",
        _summary(run, ("network", "loss", "global batch", "length")),
        _config(run),
        "## License",
        f"{_span(license)}. {_CHOOSE if license == _NO_LICENSE else ''}{_DATA_TOO}",
        "## Limits",
        _LIMITS,
    ]
    write_whole(card, ("\n\n".join(part for part in parts if part) + "\n").encode())
    return f"{card}: the model card, to be read and completed"


def _front_matter(name: str, of: Exported, known: Sequence[Threshold], license: str) -> str:
    """YAML between lines of dashes; texts are written as JSON's, which YAML's are."""
    lines = [
        "---",
        f"license: {json.dumps(license)}",
        "library_name: onnx",
        "pipeline_tag: image-feature-extraction",
        "tags:",
        *(f"- {json.dumps(tag)}" for tag in ("face-recognition", "onnx", "oneflow", of.network)),
    ]
    if known:
        lines += ["model-index:", f"- name: {json.dumps(name)}", "  results:"]
        for each in known:
            lines += [
                "  - task:",
                "      type: face-verification",
                "    dataset:",
                f"      name: {json.dumps(each.name)}",
                f"      type: {json.dumps(each.name)}",
                "    metrics:",
                "    - type: accuracy",
                f"      value: {each.accuracy:.6g}",
            ]
    return "\n".join([*lines, "---"])


def _use(of: Exported) -> str:
    return (
        f"It takes {of.input}, of faces that are aligned: {_ALIGNED}.\n\n"
        "```python\n"
        "import numpy as np\n"
        "import onnxruntime\n\n"
        f"session = onnxruntime.InferenceSession({json.dumps(show_name(of.file), ensure_ascii=False)})\n"
        f"{_code(of)}"
        "embeddings = session.run(None, {session.get_inputs()[0].name: pixels})[0]\n"
        "embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)\n"
        "cosines = embeddings @ embeddings.T  # 1 is as alike as can be\n"
        "```"
    )


def _code(of: Exported) -> str:
    taken = parse_input(of.input)
    height, width, channels = taken.shape
    color = {"RGB": "", "BGR": "[..., ::-1]", "gray": ""}[taken.color]
    order = ".transpose(0, 3, 1, 2)" if taken.layout == "NCHW" else ""
    return (
        f"faces = np.zeros((2, {height}, {width}, {channels}), np.uint8)  # yours, "
        f"{'gray' if taken.color == 'gray' else 'RGB'}\n"
        f"x = faces{color}.astype(np.float32)\n"
        f"pixels = np.ascontiguousarray(({taken.expression}){order}, np.float32)\n"
    )


def _figures(known: Sequence[Threshold], run: Mapping[str, Any] | None, step: int | None) -> str:
    if known:
        rows = [
            [
                _text(each.name),
                f"{each.accuracy:.2%}",
                f"{each.cosine:.3f}",
                f"{2 - 2 * each.cosine:.3f}",
                f"{each.pairs:,}",
            ]
            for each in known
        ]
        return _table(["set", "accuracy", "threshold (cosine)", "threshold (squared distance)", "pairs"], rows)
    best = (run or {}).get("best") or {}  # of each set, each reached by weights of its own
    rows = [
        [_text(name), f"{each['accuracy']:.2%}", f"{step:,}"] for name, each in best.items() if each["step"] == step
    ]
    if rows:
        return "While it was trained:\n\n" + _table(["set", "best accuracy", "at step"], rows)
    return "These weights were not verified yet: `./val.sh` does, and exporting again writes its figures here."


def _summary(run: Mapping[str, Any] | None, names: Sequence[str]) -> str:
    known = (run or {}).get("summary") or {}
    lines = [f"- {name}: {_text(_without_folders(known[name]))}" for name in names if known.get(name)]
    return "\n".join(lines) or "Not known: there is no `run.json` of the run beside the weights."


def _config(run: Mapping[str, Any] | None) -> str:
    changed = [
        (key, value) for key, value, differs in (run or {}).get("config") or () if differs and changes_training(key)
    ]
    if not changed:
        return ""
    return _table(["key", "value"], [[_span(key), _span(_without_folders(value))] for key, value in changed])


def _text(words: str) -> str:
    """As Markdown that shows the words: neither HTML nor code, on one line."""
    return " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;").replace("`", "\\`")


def _span(words: str) -> str:
    """The words as code, which nothing in them ends."""
    return f"`{' '.join(words.split()).replace('`', chr(39))}`"


def _without_folders(words: str) -> str:
    """What a card says goes out into the world: of an absolute path its last part."""
    return _ABSOLUTE.sub("", words)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _read(path: Path, weights_digest: str) -> Exported | None:
    """None for a file that export.py did not write, or of other weights."""
    try:
        about = {each.key: each.value for each in onnx.load(path, load_external_data=False).metadata_props}
    except (DecodeError, OSError, ValueError):  # a file that is something else, or gone
        return None
    network, size, precision, taken = (about.get(key) for key in ("network", "embedding_size", "precision", INPUT_KEY))
    if about.get(WEIGHTS_KEY) != weights_digest or not (network and size and precision and taken):
        return None
    with path.open("rb") as file:
        digest = digest_of(iter(lambda: file.read(_PIECE), b""))
    return Exported(path, network, size, precision, taken, digest)


def _facts_of(weights: Path) -> dict[str, Any] | None:
    """What the run of the weights says of itself, from their folder or one above; None if there is nothing to read."""
    folder = weights if weights.is_dir() else weights.parent
    for place in (folder, *folder.resolve().parents[:_ABOVE]):
        if (place / FACTS).is_file():
            try:
                return read_facts(place)
            except UserError:
                return None
    return None
