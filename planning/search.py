"""The largest number for which something still holds, where finding out is expensive."""

from collections.abc import Callable


def largest(holds: Callable[[int], bool], guess: int, tolerance: float = 0.02, lowest: int = 1) -> tuple[int, int]:
    """(the largest number seen to hold, the smallest seen not to), no more than `tolerance` of the first apart.

    holds: true up to some number and false above it. guess: where to look first; the nearer the fewer tries.
    (0, lowest) where even `lowest` does not hold.
    """
    good, bad = 0, 0
    number, step = max(guess, lowest), 1 + 2 * tolerance
    while not (good and bad):
        if holds(number):
            good = number
            number = max(number + 1, round(number * step))
        else:
            bad = number
            if number == lowest:
                return 0, bad
            number = max(lowest, min(number - 1, round(number / step)))
        step *= step  # near a good guess in small steps, from a bad one soon in large ones
    while bad - good > max(1, tolerance * good):
        middle = (good + bad) // 2
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good, bad
