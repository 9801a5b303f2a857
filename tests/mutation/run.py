"""Plant faults in a room's files, one at a time, and see whether its tests find them; those that survive are listed.

python -m tests.mutation.run heads --limit 60 --seed 0
python -m tests.mutation.run engine/checkpoint.py            one file, all of its faults
python -m tests.mutation.run engine --tests tests/engine/test_checkpoint.py --json found.json
python -m tests.mutation.run heads --again found.json        those that had survived
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.faults import Fault, faults_of
from tests.mutation.tree import NONE_FOUND, PASSED, Tree

_LEAST_SECONDS, _TIMES = 60.0, 4.0  # a fault that makes the tests this much slower has been found
_MAX_SECONDS = 900.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("room", help="a folder of the repository, or one file of it")
    parser.add_argument("--limit", type=int, help="so many faults, drawn by the seed; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="+", help="files or folders to run; default: those that mirror the room")
    parser.add_argument("--nearest", action="store_true", help="only those of them that name the file, where any does")
    parser.add_argument("--passed", action="store_true", help="they are known to pass without a fault: do not try")
    parser.add_argument("--json", type=Path, help="where to write a line for each fault, as it is decided")
    parser.add_argument("--again", type=Path, metavar="JSON", help="the survivors of an earlier run's --json")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        tree = Tree(Path(folder) / "tree")
        tests, limit = tree.tests(args.tests or [tree.mirror(args.room)]), _MAX_SECONDS
        if not args.passed:
            begin = time.monotonic()
            status, said = tree.run(tests, _MAX_SECONDS, compile_files=True)
            if status != PASSED:
                print(f"the tests fail without a fault:\n{said[-3000:]}")
                return 2
            limit = max(_LEAST_SECONDS, _TIMES * (time.monotonic() - begin))
        results = []
        for module, fault in chosen(tree, args):
            begin = time.monotonic()
            with tree.planted(module, fault):
                status, said = tree.run(tree.nearest_first(module, tests, args.nearest), limit)
            result = described(module, fault, status, said) | {"seconds": round(time.monotonic() - begin)}
            results.append(result)
            print("{fate:<8} {seconds:>4} s  {file}:{line}  {before} -> {after}".format(**result), flush=True)
            if args.json:
                with args.json.open("a") as file:
                    file.write(json.dumps(result) + "\n")
    survived = [result for result in results if result["fate"] == "survived"]
    print(f"{len(results)} faults, {len(results) - len(survived)} found, {len(survived)} survived")
    return int(bool(survived))


def chosen(tree: Tree, args: argparse.Namespace) -> list[tuple[Path, Fault]]:
    """The faults to plant, in the order of files and lines."""
    found = [
        (module, fault) for module in tree.modules(args.room) for fault in faults_of((tree.root / module).read_bytes())
    ]
    if args.again:
        before = [json.loads(line) for line in args.again.read_text().splitlines()]
        left = {(one["file"], one["before"], one["after"]) for one in before if one["fate"] == "survived"}
        return [one for one in found if key_of(*one) in left]
    if args.limit is not None and args.limit < len(found):
        numbers = sorted(random.Random(args.seed).sample(range(len(found)), args.limit))
        found = [found[number] for number in numbers]
    return found


def key_of(module: Path, fault: Fault) -> tuple[str, str, str]:
    return str(module), fault.before, fault.after


def described(module: Path, fault: Fault, status: int | None, said: str) -> dict:
    """The fault and its fate: "survived", or "killed" by what failed first, or by the time it took."""
    fate = "survived" if status in (PASSED, NONE_FOUND) else "killed"
    failed = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    by = (failed[0][:200] if failed else "the time it took" if status is None else f"exit status {status}") * (
        fate == "killed"
    )
    words = {"before": " ".join(fault.before.split()), "after": " ".join(fault.after.split())}
    return {"file": str(module), "line": fault.line, **words, "fate": fate, "by": by}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
