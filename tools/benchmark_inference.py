"""Time exported networks in ONNX Runtime: python tools/benchmark_inference.py PATTERN ...

PATTERN is a name in which * and ? stand for anything, or a network with options; quote it. Each network is exported in
every precision, with each output head asked for, and embeds one face of 112x112 pixels again and again. The table has
the size of the file and the median time of one face on the CPU, from its pixels to the embedding. Weights are random
and int8 is calibrated on drawn faces: neither changes time or size, but accuracy is for `export.py` to judge, on a
trained model. Times are by the clock, so leave the machine alone meanwhile; --json also
has the processor's (cpu_ms), which other programs change less.

    python tools/benchmark_inference.py mbf "mobilenet_v?" --outputs gdc,e --threads 1,2 --json speed.json --plot

"int8 (float32)" is a model that this CPU's integer kernels compute wrongly: it runs in float32, here as in val.py.
"""

import argparse
import json
import sys
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

import onnxruntime

from backbones.registry import with_option
from planning.inference import PRECISIONS, Speed, measure_inference
from planning.networks import matching
from planning.plot import bars
from planning.report import machine, markdown
from utils.cli import numbers_above_0, positive, run_cli
from utils.errors import UserError
from utils.progress import Bar


def main(arguments: list[str]) -> None:
    args = _parse(arguments)
    precisions = list(dict.fromkeys(args.precisions.split(",")))
    if unknown := set(precisions) - set(PRECISIONS):
        raise UserError(f"--precisions {args.precisions}: {min(unknown)!r} is not one of {', '.join(PRECISIONS)}")
    threads = list(dict.fromkeys(numbers_above_0("threads", args.threads, int)))
    if not 0 < args.seconds < float("inf"):
        raise UserError(f"--seconds {args.seconds} is not possible: it must be above 0")
    for path, ending in ((args.out, ".json"), (args.plot, ".svg")):
        if path and path.suffix != ending:
            raise UserError(f"{path} must end in {ending}")

    facts = machine() | {"onnxruntime": onnxruntime.__version__}
    title = f"{facts['cpu']}, {facts['cores']} cores, ONNX Runtime {facts['onnxruntime']}"
    report = {"machine": facts, "embedding_size": args.embedding_size, "speeds": []}
    speeds, refused = [], {}
    for network in Bar(_networks(args.patterns, args.outputs), desc="Measuring", unit="networks", leave=False):
        try:
            speeds += list(measure_inference(network, args.embedding_size, precisions, threads, args.seconds))
        except UserError as error:
            refused[network] = error
            continue
        report["speeds"] = list(map(asdict, speeds))
        # After each network, so that a run that is stopped keeps what it has.
        _write(args.out, json.dumps(report, indent=2) + "\n")
        _write(args.plot, _plot(f"One face in ONNX Runtime\n{title}", speeds, threads) if args.plot else "")
    if not speeds:
        raise next(iter(refused.values()))
    for network, error in refused.items():
        print(f"{network}: {error}", file=sys.stderr)
    print(f"{title}\n\n{_table(speeds, threads)}")


def _parse(arguments: list[str]) -> argparse.Namespace:
    title, _, about = __doc__.partition("\n\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=title.partition(":")[0] + ".", epilog=about, formatter_class=form)
    parser.add_argument("patterns", nargs="+", metavar="PATTERN", help='such as mbf, "mobile*" or "ghostnet(width=1)"')
    parser.add_argument(
        "--outputs", metavar="HEADS", help="those of e, gdc, gap and f, with commas; default: a network's own"
    )
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="default: %(default)s")
    parser.add_argument("--threads", default="1,2", help="numbers of threads to time with; default: %(default)s")
    parser.add_argument("--embedding_size", type=positive, default=512, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="that each time is measured for; default: %(default)s"
    )
    parser.add_argument(
        "--out", "--json", dest="out", type=Path, metavar="FILE.json", help="where to write the figures and the machine"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE.svg",
        nargs="?",
        const=Path("inference.svg"),
        help="where to draw them; default: %(const)s",
    )
    return parser.parse_args(arguments)


def _networks(patterns: list[str], outputs: str | None) -> list[str]:
    """Each with each output, but those that have no such option once, as they are."""
    networks = matching(patterns)
    if outputs is None:
        return networks
    wanted = outputs.split(",")
    return list(dict.fromkeys(with_option(network, "output", each) for network in networks for each in wanted))


def _table(speeds: list[Speed], threads: list[int]) -> str:
    titles = ["network", "precision", "ONNX (MB)", *(f"{n} thread{'s' * (n > 1)} (ms)" for n in threads)]
    rows = [
        [speed.network, _precision(speed), f"{speed.onnx_bytes / 1e6:.2f}", *(f"{speed.ms[n]:.2f}" for n in threads)]
        for speed in speeds
    ]
    return markdown(titles, rows)


def _precision(speed: Speed) -> str:
    return f"{speed.precision} (float32)" if speed.in_float32 else speed.precision


def _plot(title: str, speeds: list[Speed], threads: list[int]) -> str:
    rows = [network for network, _ in groupby(speeds, key=lambda speed: speed.network)]
    by_precision = {p: [speed for speed in speeds if speed.precision == p] for p in (s.precision for s in speeds)}
    times = {f"ms, {n} thread(s)": {p: [s.ms[n] for s in each] for p, each in by_precision.items()} for n in threads}
    sizes = {p: [speed.onnx_bytes / 1e6 for speed in each] for p, each in by_precision.items()}
    return bars(title, rows, [*times.items(), ("MB of the file", sizes)])


def _write(path: Path | None, content: str) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    run_cli(main)
