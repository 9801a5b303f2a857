"""List the networks there are, and what each costs: python tools/list_backbones.py ["PATTERN" ...]

PATTERN is a name in which * and ? stand for anything, or a network with options; quote it. The table has parameters
and multiply-accumulates (MACs) of one image; --onnx adds the size of the exported file, --time a core's time for one
image in ONNX Runtime. Parameters and MACs are counted from shapes: nothing runs, and the largest network takes seconds.

    python tools/list_backbones.py "mobile*" "mobilenet_v2(width=0.5)" --time --sort time
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from backbones.registry import Sizes
from planning.networks import Cost, count, matching, measure_export
from planning.report import markdown
from utils.cli import positive, run_cli
from utils.errors import UserError
from utils.pixels import USUAL_SHAPE, ImageShape
from utils.progress import Bar

_COLUMNS: dict[str, tuple[str, Callable[[Cost], str]]] = {
    "network": ("network", lambda cost: cost.network),
    "parameters": ("parameters (M)", lambda cost: f"{cost.parameters / 1e6:.2f}"),
    "macs": ("MACs (G)", lambda cost: f"{cost.macs / 1e9:.3f}"),
    "onnx_bytes": ("ONNX (MB)", lambda cost: "-" if cost.onnx_bytes is None else f"{cost.onnx_bytes / 1e6:.1f}"),
    "cpu_ms": ("CPU (ms)", lambda cost: "-" if cost.cpu_ms is None else f"{cost.cpu_ms:.1f}"),
}
_SORT = {"name": "network", "parameters": "parameters", "macs": "macs", "size": "onnx_bytes", "time": "cpu_ms"}


def main(arguments: list[str]) -> None:
    args = _parse(arguments)
    sizes = Sizes(args.embedding_size, ImageShape(*args.image_size, 1 if args.gray else 3))
    if args.onnx and sizes.image != USUAL_SHAPE:
        raise UserError("--onnx and --time export networks for color images of 112x112 pixels, and no others")
    names = matching(args.patterns)
    costs, refused = [], {}
    for name in Bar(names, desc="Counting", unit="networks", leave=False):
        try:
            costs.append(count(name, sizes))
            if args.onnx:
                costs[-1] = measure_export(costs[-1], args.embedding_size, args.time)
        except UserError as error:
            refused[name] = error
    if refused and not costs:
        raise next(iter(refused.values()))
    for name, error in refused.items():
        print(f"{name}: {error}", file=sys.stderr)
    key = _SORT[args.sort]
    costs.sort(key=lambda cost: (getattr(cost, key) is None, getattr(cost, key)))
    columns = ["network", "parameters", "macs", *["onnx_bytes"] * args.onnx, *["cpu_ms"] * args.time]
    args.form(costs, columns)


def _parse(arguments: list[str]) -> argparse.Namespace:
    title, _, about = __doc__.partition("\n\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=title.partition(":")[0] + ".", epilog=about, formatter_class=form)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="default: all networks")
    parser.add_argument("--sort", choices=_SORT, default="name", help="by what; default: %(default)s")
    parser.add_argument(
        "--onnx", action="store_true", help="export each, which takes up to a minute, and give its size"
    )
    parser.add_argument("--time", action="store_true", help="and the time that a core takes for one image")
    parser.add_argument("--embedding_size", type=positive, default=512, help="default: %(default)s")
    parser.add_argument(
        "--image_size",
        type=positive,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        default=USUAL_SHAPE[:2],
        help="in pixels; default: 112 112",
    )
    parser.add_argument("--gray", action="store_true", help="for images of one channel")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", dest="form", action="store_const", const=_as_json, help="whole numbers, as JSON")
    forms.add_argument("--csv", dest="form", action="store_const", const=_as_csv, help="whole numbers, as CSV")
    parser.set_defaults(form=_as_table)
    args = parser.parse_args(arguments)
    if _SORT[args.sort] == "cpu_ms" and not args.time:
        parser.error("--sort time needs --time")
    args.onnx = args.onnx or args.time
    if _SORT[args.sort] == "onnx_bytes" and not args.onnx:
        parser.error("--sort size needs --onnx or --time")
    return args


def _as_table(costs: list[Cost], columns: list[str]) -> None:
    titles = [_COLUMNS[column][0] for column in columns]
    print(markdown(titles, [[_COLUMNS[column][1](cost) for column in columns] for cost in costs]))


def _as_json(costs: list[Cost], columns: list[str]) -> None:
    print(json.dumps([{column: asdict(cost)[column] for column in columns} for cost in costs], indent=2))


def _as_csv(costs: list[Cost], columns: list[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows([columns, *([asdict(cost)[column] for column in columns] for cost in costs)])


if __name__ == "__main__":
    run_cli(main)
