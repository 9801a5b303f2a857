"""What the tensors of a job take at once, by when each is made and last used, as OneFlow lets them share memory."""

from collections import Counter
from itertools import accumulate

from oneflow.core.job.job_pb2 import Job

from engine.job_graph import ordered
from tests.layout.job import read_operators

_KEPT = ("variable", "input", "output")  # for longer than a step, or outside of it


def most_rows(job: Job) -> int:
    """The most bytes, of all ranks, that tensors with a row for each image take at a moment of the step."""
    operators = {op.name: op for op in read_operators(job)}
    order = {name: position for position, name in enumerate(ordered(job))}
    last = Counter()
    for name, op in operators.items():
        for end in op.inputs:
            last[end.tensor] = max(last[end.tensor], order[name])
    changes = Counter()
    for name, op in operators.items():
        for end in op.outputs if op.kind not in _KEPT else ():
            if end.sbp == "S0":
                changes[order[name]] += end.bytes
                changes[max(last[end.tensor], order[name]) + 1] -= end.bytes
    return max(accumulate(changes[moment] for moment in range(len(order) + 1)))
