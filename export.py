"""Exports a saved model as ONNX, checked against it: `python export.py CONFIG --model MODEL --out FILE`."""

import argparse
import os
import time
from pathlib import Path

from utils.environment import enter_environment

enter_environment()

from utils.cli import add_model, image_size, run_cli
from utils.config import read_config
from utils.config.arguments import add_config, settle_config, show_notice
from utils.cpu import choose_blas_kernels
from utils.errors import UserError
from utils.files import refuse_unwritable

_PURPOSE = "Export a trained model as ONNX, compared with the original on faces before it is left to you."
_EXAMPLES = """
keys that count here: output (the run's folder), val_targets and val_path (sets to compare on); others are training's

examples:
  ./convert.sh                                          # the demo's model, as work_dirs/demo/model.onnx
  ./convert.sh --model work_dirs/r50/best --out r50.onnx
  ./convert.sh --model work_dirs/r50 --fp16             # half the size
  ./convert.sh --model work_dirs/r50 --int8 --calibration FACES
"""
_CALIBRATION_IMAGES = 256
_TRAINING_CONFIG = "config.py"  # as a run writes it into its output


def main(arguments: list[str]) -> None:
    args = _parse(arguments)
    loaded = read_config(args.config, args.overrides, require_data=False)
    show_notice(loaded)
    cfg = loaded.cfg
    precision = "fp16" if args.fp16 else "int8" if args.int8 else "fp32"
    if args.int8 and not args.calibration:
        raise UserError("--int8 needs --calibration FOLDER, aligned faces such as the model will see")
    if args.image_size and not args.calibration:
        raise UserError("--image_size is of the --calibration faces, which are not given; the model says its own")
    if args.calibration and not args.int8:
        raise UserError("--calibration is for --int8, which is not asked for")
    model_path = args.model_path or Path(cfg.output)
    folder = model_path if model_path.is_dir() else model_path.parent
    out = args.out_path or folder / ("model.onnx" if precision == "fp32" else f"model_{precision}.onnx")
    if out.suffix != ".onnx":
        raise UserError(f"--out_path {out} must end in .onnx")
    refuse_unwritable(out.parent, str(out))

    choose_blas_kernels(os.environ)
    # OneFlow takes seconds to import, so a mistake in the command is reported before.
    from deploy.embedder import load_backbone_embedder, model_digest
    from deploy.images import drawn_faces, read_images
    from deploy.model_card import WEIGHTS_KEY, write_card
    from deploy.onnx_check import IMAGES
    from deploy.onnx_convert import OPSETS
    from deploy.onnx_export import ExportOptions, export_onnx
    from deploy.onnx_quantize import INT8_OPSET

    if args.opset not in OPSETS:
        raise UserError(f"--opset {args.opset} is not one of {', '.join(map(str, OPSETS))}, which convert correctly")
    calibration = read_images(args.calibration, _CALIBRATION_IMAGES, args.image_size) if args.int8 else None
    images, source = drawn_faces(IMAGES), "drawn faces"
    for place in _places_of_images(cfg, args.calibration):
        read = read_images(place, IMAGES, args.image_size if place == args.calibration else None)
        if len(read) == IMAGES:
            images, source = read, str(place)
            break

    start = time.perf_counter()
    embedder = load_backbone_embedder(model_path)
    digest = model_digest(model_path)
    about = {
        WEIGHTS_KEY: digest,
        "network": embedder.network_name,
        "embedding_size": str(embedder.embedding_size),
        "color": embedder.input.color,
        "training_config": _training_config(folder),
    }
    options = ExportOptions(precision, args.opset, args.embed_normalization, calibration)
    differences = export_onnx(embedder, out, images, options, about)
    opset = INT8_OPSET if args.int8 else args.opset
    print(f"{out}: {embedder.network_name}, {precision}, opset {opset}, {out.stat().st_size / 1e6:.1f} MB")
    print(f"against OneFlow, on {source}:")
    for difference in differences:
        print(f"  {difference}")
    print(write_card(out, model_path, digest, differences, source, args.license))
    print(f"{time.perf_counter() - start:.1f} s")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="convert.sh", description=_PURPOSE, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config(parser, "a config, whose run left the model", "such as output=DIR val_path=DIR")
    add_model(parser, "a .safetensors file or a run's folder; default: its output")
    parser.add_argument(
        "--out", "--out_path", dest="out_path", type=Path, metavar="FILE.onnx",
        help="default: model.onnx (model_fp16, model_int8) beside the model",
    )  # fmt: skip
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument("--fp16", action="store_true", help="half precision inside, half the size")
    precision.add_argument("--int8", action="store_true", help="static quantization (QDQ), a quarter of the size")
    parser.add_argument(
        "--calibration", type=Path, metavar="FOLDER", help="aligned faces to quantize on (or a .bin set)"
    )
    parser.add_argument(
        "--image_size", type=image_size, metavar="SIZE",
        help="size of the --calibration faces, 128 or 96x112 (height x width); default: as a set says, or 112x112",
    )  # fmt: skip
    parser.add_argument(
        "--embed_normalization", action="store_true", help="the model takes pixels in 0 ... 255 and normalizes them"
    )
    parser.add_argument("--license", metavar="NAME", help="for the model card, such as apache-2.0 or cc-by-nc-4.0")
    parser.add_argument("--opset", type=int, default=11, help="ONNX opset for fp32 and fp16; default: %(default)s")
    args = parser.parse_intermixed_args(arguments)
    settle_config(args)
    return args


def _places_of_images(cfg, calibration: Path | None) -> list[Path]:
    """Where there may be real faces to compare on: the config's verification sets, then the calibration's."""
    folder = cfg.val_path or cfg.ofrecord_path
    sets = [Path(folder, f"{name}.bin") for name in cfg.val_targets] if folder else []
    return [*(path for path in sets if path.is_file()), *([calibration] if calibration else [])]


def _training_config(folder: Path) -> str:
    """The run's resolved config, from the model's folder or one above (a checkpoint's run); "" where there is none."""
    for place in (folder, *folder.resolve().parents[:2]):
        if (place / _TRAINING_CONFIG).is_file():
            return (place / _TRAINING_CONFIG).read_text()
    return ""


if __name__ == "__main__":
    run_cli(main)
