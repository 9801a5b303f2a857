"""Make a model of this repository of weights of others: python tools/import_weights.py FILE --out FOLDER

FILE is of torch (.pth, .pt, .ckpt, .tar), of MXNet (.params), safetensors or ONNX; its content says which. Known by
their names are the networks of InsightFace's arcface_torch, MagFace, AdaFace, CurricularFace, face.evoLVe, TFace, and
those of InsightFace's MXNet ArcFace; an ONNX model is known by the order of its layers. docs/weights.md says what is
converted, and what is not.

FOLDER is then as a run's: val.py, export.py and tools/ take it, and a run fine-tunes it with pretrained=FOLDER.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from deploy.importing.known import LAYOUTS
from utils.cli import run_cli
from utils.errors import UserError

_MEASURED = 64  # images; a BatchNorm sees 49 pixels or more of each


def main(arguments: list[str]) -> None:
    args = _parse(arguments)
    os.environ.setdefault("GLOG_minloglevel", "3")
    from deploy.images import read_images
    from deploy.importing.run import Choices, import_weights
    from deploy.importing.statistics import measure
    from deploy.weights import save_backbone

    choices = Choices(args.network, args.layout, args.prefix, args.input, args.onnx_output, args.fold_input)
    images = read_images(args.images, _MEASURED) if args.images else None
    imported = import_weights(args.weights, choices, args.torch_python)
    state, said = imported.state, imported.said
    if imported.made_up:
        what = (
            f"statistics of {len(images)} images" if args.images else "no statistics yet (to train on, give --images)"
        )
        said = [*said, f"BatchNorms that the file lacks or has folded, {len(imported.made_up)}: {what}"]
    if imported.made_up and args.images:
        state = state | measure(imported.embedder(), imported.made_up, images)
    try:
        file = save_backbone(
            args.out, state, imported.network, imported.embedding_size, imported.input, source=imported.source
        )
    except OSError as error:
        raise UserError(f"{args.out} cannot be written: {error.strerror}") from None
    print(
        "\n".join(
            [f"{args.weights}: {imported.network}, {imported.embedding_size} numbers", *(f"  {line}" for line in said)]
        )
    )
    print(f"{file}: takes {imported.input}")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the model")
    parser.add_argument("--network", metavar="NAME", help="such as r50 or mbf; default: the one that fits")
    parser.add_argument("--layout", choices=LAYOUTS, help="whose names these are; default: by the names")
    parser.add_argument("--prefix", metavar="TEXT", help="how the names begin, if a file holds several networks")
    parser.add_argument(
        "--input", metavar="FORMAT", help='that it was trained on, such as "BGR, (x - 127.5) / 128"; default: as its '
        "authors do",
    )  # fmt: skip
    parser.add_argument(
        "--fold_input", action="store_true",
        help="it takes our pixels, even if that is inexact at the border; to train it on",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=Path, metavar="SOURCE",
        help="faces for statistics of BatchNorms that the file lacks or has folded; to train on",
    )  # fmt: skip
    parser.add_argument("--onnx_output", metavar="NAME", help="the embedding of an ONNX model with several outputs")
    parser.add_argument(
        "--torch_python", default=sys.executable, metavar="PYTHON", help="a Python that has torch; default: this one"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_cli(main)
