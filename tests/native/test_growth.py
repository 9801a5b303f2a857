"""Memory of a process with the kernels of native/ stays what it is."""

import json

from tests.ranks import run_ranks


def test_memory_does_not_grow():
    """Megabytes: over 1,500 steps, and over 500 sizes of images when as many primitives are kept as may be.

    If none of those were dropped, it would be 50 more.
    """
    seen = json.loads(run_ranks(1, "tests/native/growth_worker.py").strip().splitlines()[-1])
    early, late, full, beyond = seen["memory"]
    assert late - early < 4
    assert beyond - full < 25
    assert 0 < seen["scratch"] < 16 * 2**20
