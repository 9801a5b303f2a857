"""Puts results of evaluations on one page: tables, ROC curves, histograms, folds, hardest pairs; models are compared.

python tools/report.py work_dirs/results/{lfw,IJBC_N1D1F2}.json --out work_dirs/results/report
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from evaluation.report import write_report
from utils.cli import run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULT.json", help="results of val.py or eval_ijb.py --out"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/report"), metavar="DIR", help="folder for a page and PNGs"
    )
    args = parser.parse_intermixed_args(arguments)
    print(f"{write_report(args.results, args.out)} and its pictures beside it")


if __name__ == "__main__":
    run_cli(main)
