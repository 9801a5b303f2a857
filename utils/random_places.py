"""Random numbers by place: any of a stream is reached at once, so that they depend on nothing drawn before them.

A NumPy generator for each sample would cost a third of decoding it.
"""

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def words(start: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The numbers at `places`, uint64, of the SplitMix64 stream that begins at `start`: uint64, of `places`' shape.

    Steele, Lea and Flood, Fast splittable pseudorandom number generators (2014).
    """
    state = places + np.uint64(1)
    state *= _GAMMA
    state += start
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state


def splitmix(start: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The same as float64 in [0, 1)."""
    return (words(start, places) >> np.uint64(11)) * 2.0**-53


def standard_normal(origin: list[int], places: np.ndarray) -> np.ndarray:
    """Normal numbers, (N,) float64, mean 0 and deviation 1, at places (N,) of the stream that `origin` names.

    By Box and Muller (1958), from two uniform numbers each.
    """
    start = np.random.SeedSequence(origin).generate_state(1, np.uint64)
    radius, angle = (splitmix(start, places.astype(np.uint64) * np.uint64(2) + np.uint64(i)) for i in (0, 1))
    return np.sqrt(-2.0 * np.log(1.0 - radius)) * np.cos(2.0 * np.pi * angle)
