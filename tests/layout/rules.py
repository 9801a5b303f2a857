"""What the layout of a step has to keep to: nothing with a class axis leaves its rank, and the logits stay few."""

from math import prod

from tests.layout.cases import EMBEDDING, LayoutCase
from tests.layout.job import End, Operator, crossings, over_classes


def misplaced(operators: list[Operator], case: LayoutCase) -> list[str]:
    """Tensors with a class axis in a layout they should not have.

    With model_parallel they are split on that axis. Without, logits (B, C) are split over the batch, and what has no
    batch axis, as the centers (C, E), is whole on every rank; its gradient is a partial sum.
    """
    return [str(end) for end in over_classes(operators, case.slots) if end.sbp not in _layouts(end, case)]


def _layouts(end: End, case: LayoutCase) -> tuple[str, ...]:
    if case.model_parallel:
        return (f"S{end.shape.index(case.slots)}",)
    return ("S0",) if end.shape[0] in (case.micro_batch, case.batch) else ("B", "P")


def sent(operators: list[Operator], case: LayoutCase) -> list[str]:
    """What crosses the ranks and should not: anything but (B, 1) or (1, B), or one such column of each rank, (B, E),
    a teacher's (B, T), labels (B,), scalars, and gradients of what every rank has whole, in the shape of a variable."""
    whole = {end.shape for op in operators if op.kind == "variable" for end in op.outputs if end.sbp == "B"}
    rows = case.micro_batch
    own = {(rows, case.centers), (rows, case.centers * case.width)}  # the centers of the targets
    allowed = whole | own | {(), (1,), (rows,), (rows, 1), (1, rows), (rows, case.ranks), (rows, case.width)}
    allowed |= {(rows, case.teacher)} if case.teacher else set()
    return [str(crossing) for crossing in crossings(operators) if crossing.given.shape not in allowed]


def logits(operators: list[Operator], case: LayoutCase) -> list[End]:
    """The (B, slots) tensors of a micro-batch that are not masks."""
    shape = (case.micro_batch, case.slots)
    return [end for end in over_classes(operators, case.slots) if end.shape == shape and end.dtype != "bool"]


def too_many(operators: list[Operator], case: LayoutCase) -> list[str]:
    """All of `logits`, if they are more than the case allows."""
    found = logits(operators, case)
    floats = sum(end.dtype == "float" for end in found)
    most = case.bytes_per_logit * prod((case.micro_batch, case.slots))
    fit = floats <= case.floats and sum(end.bytes for end in found) <= most
    return [] if fit else [f"{floats} of {len(found)} are float32", *map(str, found)]


def returned(operators: list[Operator], case: LayoutCase) -> list[End]:
    """With accumulation the (batch, slots) tensors of all micro-batches, which the step only collects and returns."""
    shape = (case.batch, case.slots)
    return [end for end in over_classes(operators, case.slots) if end.shape == shape and case.gradient_acc > 1]


def most_alive(operators: list[Operator], case: LayoutCase) -> int:
    """How many of `logits` are needed at the same time: from the operator that makes each to the last that takes it."""
    names = {end.tensor for end in logits(operators, case)}
    born = {end.tensor: position for position, op in enumerate(operators) for end in op.outputs if end.tensor in names}
    last = dict(born)
    for position, op in enumerate(operators):
        last.update({end.tensor: max(position, last[end.tensor]) for end in op.inputs if end.tensor in names})
    return max(sum(born[name] <= moment <= last[name] for name in names) for moment in range(len(operators)))


def center_tensors(operators: list[Operator], case: LayoutCase) -> list[End]:
    """The (slots, E) tensors: the step has the centers, and neither a gradient nor copies of them."""
    made = [end for op in operators for end in op.outputs]
    return [end for end in made if end.shape == (case.slots, case.width)]


def sums_in_half(operators: list[Operator]) -> list[str]:
    """What the head sums over the ranks in float16. The centers of the targets are no sum: they have one term each."""
    partial = [crossing.given for crossing in crossings(operators) if crossing.given.sbp == "P"]
    own = [end for end in partial if end.tensor.startswith("model.head") and "gather" not in end.tensor]
    return [str(end) for end in own if end.dtype == "float16"]


def batch_norm_sums(operators: list[Operator]) -> list[End]:
    """What BatchNorm, the backbone's second module, sums over the ranks."""
    return [
        crossing.given
        for crossing in crossings(operators)
        if crossing.given.sbp == "P" and crossing.given.tensor.startswith("model.backbone.1-")
    ]


def wrong_batch_norm_sums(operators: list[Operator], case: LayoutCase) -> list[str]:
    """All of `batch_norm_sums`, unless they are two of channels in each pass, in float32."""
    found = batch_norm_sums(operators)
    right = len(found) == 4 and all((end.dtype, end.shape) == ("float", (EMBEDDING,)) for end in found)
    return [] if right else ["BatchNorm sums", *map(str, found)]


def center_types(operators: list[Operator], case: LayoutCase) -> set[str]:
    """The data types of the class centers (slots, E) in a step and of the products with them, (B, slots) and (B, E)."""
    made = [(op, end) for op in operators for end in op.outputs]
    centers = {end.dtype for op, end in made if op.kind == "variable" and end.shape == (case.slots, case.width)}
    products = {
        end.dtype for op, end in made if op.kind == "matmul" and any(case.slots in e.shape for e in (*op.inputs, end))
    }
    return centers | products


def broken(operators: list[Operator], case: LayoutCase) -> dict[str, list]:
    """All rules that a step breaks, by what they ask for."""
    centers = center_tensors(operators, case)
    # With accumulation each micro-batch takes the same memory (`repeat`); a replicated head returns the gradient.
    # Several centers of a class are copied apart.
    most = (1 if case.model_parallel else 5) + (case.gradient_acc > 1) + case.centers * (case.centers > 1)
    most_at_once = 4 + (case.centers > 1)
    alive, kept = most_alive(operators, case), returned(operators, case)
    faults = {
        "there are logits": [] if logits(operators, case) else ["none"],
        "tensors with a class axis are split on it": misplaced(operators, case),
        "no more than rows and embeddings cross the ranks": sent(operators, case) if case.ranks > 1 else [],
        "logits are few": too_many(operators, case),
        "at most four of them are alive at once, or five": [alive] if alive > most_at_once else [],
        "what is returned is collected, and copied out of the graph, no more": kept if len(kept) > 2 else [],
        "there is one tensor of centers": centers if len(centers) > most else [],
        "the head's sums over the ranks are in float32": sums_in_half(operators),
        "synchronized BatchNorm sends sums of channels": (
            wrong_batch_norm_sums(operators, case) if case.sync_batchnorm and case.ranks > 1 else []
        ),
    }
    return {rule: found for rule, found in faults.items() if found}
