"""Fail every call with which the writers change files, in turn, and cut the power between any two; the counts.

python -m tests.faults.run                          all of them
python -m tests.faults.run --writer embed --shown 9
python -m tests.faults.run --share 8                each eighth of them, other ones with another --seed
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.faults.calls import MODES, start_with_library


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--writer", action="append", help="only this one; may be given again")
    parser.add_argument("--share", type=int, default=1, metavar="N", help="only each N-th failure; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shown", type=int, default=3, help="faults of a writer and mode that are printed")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="faults-") as library:
        start_with_library(Path(library))
    from tests.faults.trial import FAULTS, HELD, Trials
    from tests.faults.writers import WRITERS  # they import half of the project

    begin, counts, shown = time.monotonic(), {}, Counter()
    for name in args.writer or WRITERS:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            trials = Trials(WRITERS[name], Path(folder).resolve())
            for mode, number, (fate, said) in tried(trials, args.share, args.seed):
                counts.setdefault((name, mode), Counter())[fate] += 1
                shown[name, mode] += fate != HELD
                if fate != HELD and shown[name, mode] <= args.shown:
                    call = trials.calls[number] if number < len(trials.calls) else "the end"
                    print(f"{name} {mode} {call} {fate}: {said.strip()[-1500:]}", flush=True)
    print(f"{'writer':<14}{'mode':<16}" + "".join(f"{column:>11}" for column in (HELD, *FAULTS)))
    for (name, mode), found in counts.items():
        print(f"{name:<14}{mode:<16}" + "".join(f"{found[column]:>11}" for column in (HELD, *FAULTS)))
    total = sum(counts.values(), Counter())
    print(f"{total.total()} failures, {total[HELD]} held, in {time.monotonic() - begin:.0f} s")
    return int(total.total() != total[HELD])


def tried(trials, share: int, seed: int) -> Iterator[tuple[str, int, tuple[str, str]]]:
    """Each mode and call of which it is the turn, with what became of it; always the power cut after the last one."""
    from tests.faults.disk import KEPT, UNDONE, power_cuts

    cuts = [*power_cuts(trials.calls), len(trials.calls)]
    turns = [(word, call.number) for word, mode in MODES.items() for call in trials.calls if call.may_fail(mode)]
    turns += [(variant, number) for variant in (KEPT, UNDONE) for number in cuts]
    ends = [(variant, len(trials.calls)) for variant in (KEPT, UNDONE)]  # what is done is on the disk: always
    for word, number in dict.fromkeys([*ends, *turns[seed % share :: share]]):
        yield word, number, trials.fail(MODES[word], number) if word in MODES else trials.cut(number, word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
