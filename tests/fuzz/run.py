"""Damage files of every format and read them; the counts, and the first of each kind of fault.

python -m tests.fuzz.run --mutations 20000 --seed 1
python -m tests.fuzz.run --format bin --number 17     one damage again, with all that was said
python -m tests.fuzz.run --attacks                    the crafted files
"""

import argparse
import sys
import time
from collections import Counter

from tests.fuzz.attacks import ATTACKS
from tests.fuzz.formats import FORMATS
from tests.fuzz.judge import ACCEPTED, FAULTS, REFUSED
from tests.fuzz.pool import run_tasks

_COLUMNS = (REFUSED, ACCEPTED, *FAULTS)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=20_000, help="in all, shared by the formats")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=FORMATS, action="append", help="only this one; may be given again")
    parser.add_argument("--number", type=int, help="only this damage")
    parser.add_argument("--attacks", action="store_true", help="the crafted files in place of damage")
    parser.add_argument("--shown", type=int, default=3, help="faults of a format that are printed")
    args = parser.parse_args(arguments)
    tasks = attacks(args.format) if args.attacks else mutations(args.format, args.mutations, args.seed)
    if args.number is not None:
        tasks = mutations(args.format, 1, args.seed, args.number)
    begin, counts, shown = time.monotonic(), {}, Counter()
    for task, fate, said in run_tasks(tasks):
        name = task.get("format") or ATTACKS[task["attack"]].format
        if "attack" in task and fate == ACCEPTED and not ATTACKS[task["attack"]].harmless:
            fate = "silent"
        counts.setdefault(name, Counter())[fate] += 1
        shown[name, fate] += 1
        if args.number is not None or (fate in FAULTS and shown[name, fate] <= args.shown):
            print(f"{task} {fate}: {said.strip()[-1500:]}", flush=True)
    table(counts)
    print(f"{sum(map(Counter.total, counts.values()))} files in {time.monotonic() - begin:.0f} s")
    return int(any(counts[name][fault] for name in counts for fault in FAULTS))


def mutations(names: list[str] | None, count: int, seed: int, number: int | None = None) -> list[dict]:
    """The tasks of a run; those of one format follow each other."""
    names = names or list(FORMATS)
    numbers = range(-(-count // len(names))) if number is None else [number]
    return [{"format": name, "seed": seed, "number": number} for name in names for number in numbers]


def attacks(names: list[str] | None = None) -> list[dict]:
    return [{"attack": name} for name, one in ATTACKS.items() if not names or one.format in names]


def table(counts: dict[str, Counter]) -> None:
    print(f"{'format':<20}" + "".join(f"{column:>11}" for column in _COLUMNS))
    for name, found in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"{name:<20}" + "".join(f"{found[column]:>11}" for column in _COLUMNS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
