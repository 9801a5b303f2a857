"""Write the help texts that programs show without their packages, into docs/help: python tools/write_help.py

To be called after options or docstrings of programs have changed; a test compares.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import HELP, enter_environment

enter_environment()

from utils.cli import run_cli

_ROOT = Path(__file__).resolve().parents[1]
_COLUMNS = "100"
_NO_PROGRAMS = {"__init__", "conversion", "embedding_pass"}  # what programs of tools/ share
# Programs whose options are those of another.
ALIASES = {"mx_recordio_2_ofrecord_shuffled_npart": "tools.mx_recordio_2_ofrecord", "train": "tools.start_training"}
_WAYS = ("parse_known_args", "parse_known_intermixed_args")  # all others call one of these


class _Parser(Exception):
    """The parser that a program has made, before it parses anything."""


def programs() -> list[str]:
    """Modules with a `main` that parses arguments."""
    tools = [f"tools.{path.stem}" for path in sorted((_ROOT / "tools").glob("*.py")) if path.stem not in _NO_PROGRAMS]
    return ["train", "val", "export", *tools]


def help_texts() -> Iterator[tuple[str, str]]:
    """(file name, text) for each program and each of its commands."""
    with patch.dict(os.environ, COLUMNS=_COLUMNS):
        for module in programs():
            stem = module.rpartition(".")[2]
            parser = _parser_of(ALIASES.get(stem, module), stem)
            yield f"{stem}.txt", parser.format_help()
            for action in parser._actions:
                if isinstance(action, argparse._SubParsersAction):
                    for command, below in action.choices.items():
                        yield f"{stem}-{command}.txt", below.format_help() + _examples(parser, command)


def _examples(parser: argparse.ArgumentParser, command: str) -> str:
    """The lines of a program's description that show one of its commands."""
    lines = [line for line in (parser.description or "").splitlines() if f".py {command} " in line]
    return "\n".join(["\nexamples:", *lines, ""])


def _parser_of(module: str, stem: str) -> argparse.ArgumentParser:
    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _Parser(parser)

    program, argv = importlib.import_module(module), patch.object(sys, "argv", [f"{stem}.py"])
    ways = [patch.object(argparse.ArgumentParser, way, stop) for way in _WAYS]
    with argv, ways[0], ways[1]:
        try:
            program.main([])
        except _Parser as made:
            (parser,) = made.args
            return parser
    raise AssertionError(f"{stem} parses no arguments")


def main(arguments: list[str]) -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    HELP.mkdir(parents=True, exist_ok=True)
    written = dict(help_texts())
    for name, text in written.items():
        (HELP / name).write_text(text, encoding="utf-8")
    for file in HELP.glob("*.txt"):
        if file.name not in written:
            file.unlink()
    print(f"{len(written)} texts in {HELP}")


if __name__ == "__main__":
    run_cli(main)
