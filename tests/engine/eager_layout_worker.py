"""One rank of tests/engine/test_eager_layout.py: notes the layout of every (B, slots) tensor of eager heads."""

import json
import sys
from pathlib import Path

import oneflow as flow

from heads.softmax import ClassSoftmax
from tests.layout.cases import CPU_CASES, EMBEDDING, on_ranks
from utils.runtime import start_runtime

# What the head calls; each result is noted.
FUNCTIONS = [(flow, name) for name in ("matmul", "exp", "eq", "where")]
FUNCTIONS += [(flow.Tensor, name) for name in ("masked_fill", "to", "__mul__", "__sub__", "__gt__")]


def note_results(slots: int, seen: list) -> None:
    for owner, name in FUNCTIONS:
        function = getattr(owner, name)
        function = getattr(function, "noted", function)

        def noted(*arguments, _function=function, _name=name, **more):
            result = _function(*arguments, **more)
            if result.is_global and result.ndim == 2 and result.shape[1] == slots:
                seen.append((_name, str(result.sbp[0])))
            return result

        noted.noted = function
        setattr(owner, name, noted)


if __name__ == "__main__":
    (folder,) = sys.argv[1:]
    runtime = start_runtime("cpu")
    layouts = {}
    for name, case in on_ranks(CPU_CASES, runtime.ranks).items():
        margin = case.margin()
        more = {"filtering": case.filtering, "smoothing": case.smoothing, "model_parallel": case.model_parallel}
        head = ClassSoftmax(case.sampler(runtime.rank), EMBEDDING, runtime.placement, margin, **more)
        whole, split = ({"placement": runtime.placement, "sbp": sbp} for sbp in (flow.sbp.broadcast, flow.sbp.split(0)))
        embedding = flow.randn(case.micro_batch, EMBEDDING, **split).requires_grad_(True)
        labels = flow.zeros(case.micro_batch, dtype=flow.int64, **split)
        state = {key: flow.full((1,), value, dtype=flow.float32, **whole) for key, value in margin.state.items()}
        seen = layouts[name] = []
        note_results(case.slots, seen)
        random = flow.randn(case.micro_batch, 1, **split) if margin.is_random else None
        objective, outputs = head(embedding, labels, state, random)
        objective.backward()
        if case.model_parallel:
            seen.append(("returned", str(outputs["results"]["slopes"].sbp[0])))
    Path(folder, f"{runtime.ranks}-{runtime.rank}.json").write_text(json.dumps(layouts))
