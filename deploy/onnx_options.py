"""What a user may say of an ONNX model that was made elsewhere."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError


@dataclass(frozen=True)
class OnnxOptions:
    """input: as deploy/input_format.py reads it; output: the name of the one that is the embedding.

    None: what the model's metadata say under the same names, or what its own shapes and first steps show.
    """

    input: str | None = None
    output: str | None = None

    def check(self, model: Path) -> None:
        """Raises UserError if they are given for a model that is not an ONNX file."""
        if self != NOTHING_SAID and model.suffix != ".onnx":
            raise UserError(f"--onnx_input and --onnx_output are for .onnx files, which {model} is not")


NOTHING_SAID = OnnxOptions()


def add_onnx_options(parser: argparse.ArgumentParser) -> None:
    """--onnx_input and --onnx_output, for `given_options`."""
    parser.add_argument(
        "--onnx_input",
        metavar="FORMAT",
        help='what an ONNX model made elsewhere takes, such as "NHWC, BGR, (x - 127.5) / 128"',
    )
    parser.add_argument("--onnx_output", metavar="NAME", help="its embedding, if it has several outputs")


def given_options(args: argparse.Namespace) -> OnnxOptions:
    return OnnxOptions(args.onnx_input, args.onnx_output)
