"""One rank of tests/engine/test_loss_scale.py: steps with far too large a loss scale, and a new graph after."""

import sys
from pathlib import Path

import numpy as np

from data.batch import Batch
from tests.engine.cases import batches, settings
from tests.engine.step_worker import make_step
from utils.cpu_wait import sleep_while_waiting
from utils.runtime import local_array, start_runtime

TOO_LARGE = np.array([2.0**127], np.float32)


def run(runtime, folder: Path) -> dict[str, np.ndarray]:
    wanted = settings("loss_scale")
    shares = [
        tuple(array[runtime.rank * len(array) // runtime.ranks : (runtime.rank + 1) * len(array) // runtime.ranks]
              for array in batch)
        for batch in batches(1, wanted["classes"], wanted["labels"])
    ]  # fmt: skip
    backbone, _, step = make_step(wanted, "graph", folder, runtime)
    step.restore(0, {"updates": np.array([0]), "loss_scale": TOO_LARGE, "good_steps": np.array([0])})
    weight = backbone[0].weight
    seen = {"weights": [local_array(weight).copy()], "scales": [], "skipped": []}
    for share in shares * 4:
        step(Batch(*share))
        state = step.state()
        seen["weights"].append(local_array(weight).copy())
        seen["scales"].append(state["loss_scale"][0])
        step.count_updates()
        seen["skipped"].append(step.skipped)
    # Another graph, with another number, takes the state up.
    _, _, again = make_step(wanted, "graph", folder, runtime)
    again.restore(len(seen["skipped"]), {k: v for k, v in state.items() if "/" not in k})
    seen["skipped_again"] = again.skipped
    again(Batch(*shares[0]))
    seen["again"] = [again.state()[name][0] for name in ("updates", "loss_scale", "good_steps")]
    seen["before"] = [state[name][0] for name in ("updates", "loss_scale", "good_steps")]
    return {name: np.array(values) for name, values in seen.items()}


if __name__ == "__main__":
    output = sys.argv[1]
    runtime = start_runtime("cpu")
    sleep_while_waiting()
    np.savez(f"{output}-{runtime.rank}.npz", **run(runtime, Path(output + "-rows")))
