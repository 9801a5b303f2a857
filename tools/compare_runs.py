"""Compares runs on one page: curves over each other, best figures, and what their configs differ in.

python tools/compare_runs.py work_dirs/r50_arcface work_dirs/r50_cosface --out work_dirs/comparison.html
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from tracking.comparison import comparison_page, read_runs
from utils.cli import run_cli
from utils.errors import UserError
from utils.files import write_whole


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder, also while it trains")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="the page; default: comparison.html beside the first run"
    )
    parser.add_argument(
        "--by", choices=("step", "images"), default="step", help="what curves are drawn over (default %(default)s)"
    )
    args = parser.parse_intermixed_args(arguments)
    out = args.out or args.runs[0].resolve().parent / "comparison.html"
    if out.suffix != ".html":
        raise UserError(f"--out {out} is not possible: the page is a file such as comparison.html")
    write_whole(out, comparison_page(read_runs(args.runs), args.by == "images"))
    print(f"{out}: {len(args.runs)} run(s)")


if __name__ == "__main__":
    run_cli(main)
