"""Verifies a saved model: `python val.py CONFIG --model_path PATH [key=value ...]`, on one process."""

import argparse
import os
from pathlib import Path

from utils.environment import enter_environment

enter_environment()

from utils.cli import run_cli
from utils.config import load_config
from utils.cpu import choose_blas_kernels
from utils.errors import UserError


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="val.py", description=__doc__)
    parser.add_argument("config", nargs="?", default="configs/demo.py", help="says the sets and where they are")
    parser.add_argument("--model_path", type=Path, help=".safetensors, .onnx or a run's folder; default: its output")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="such as val_targets=lfw,agedb_30 val_path=DIR"
    )
    args = parser.parse_intermixed_args(arguments)
    if "=" in args.config:
        args.config, args.overrides = parser.get_default("config"), [args.config, *args.overrides]
    cfg = load_config(args.config, args.overrides, require_data=False)
    folder = cfg.val_path or cfg.ofrecord_path
    if not cfg.val_targets or not folder:
        raise UserError("there is nothing to verify on; set val_targets and val_path, the folder of the .bin sets")

    choose_blas_kernels(os.environ)
    # OneFlow takes seconds to import, so a mistake in the config is told before.
    from deploy.embedder import load_embedder
    from evaluation.embed import describe, load_bin_sets, verify_set
    from utils.runtime import start_runtime

    sets = load_bin_sets(cfg.val_targets, Path(folder))
    model_path = args.model_path or Path(cfg.output)
    embedder = load_embedder(model_path, start_runtime(cfg.device).device)
    print(f"{model_path} on {folder}")
    for name, images in sets.items():
        for line in describe(name, verify_set(embedder, images, cfg.val_batch_size)):
            print(line)


if __name__ == "__main__":
    run_cli(main)
