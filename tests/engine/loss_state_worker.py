"""One rank of tests/engine/test_loss_state.py: each of CASES is trained in one go, and again by a second step that goes
on from what the first had after `HALF` steps; both ends are written to OUTPUT."""

import sys
from pathlib import Path

import numpy as np
import oneflow as flow

from data.batch import Batch
from tests.engine.cases import batches, settings
from tests.engine.step_worker import make_step
from utils.runtime import local_array, start_runtime, write_local

HALF = 2


def train(step, shares) -> np.ndarray:
    losses = [
        step(Batch(*share))["loss"].to_global(sbp=flow.sbp.broadcast).to_local().numpy().mean() for share in shares
    ]
    return np.array(losses)


def everything(backbone, head, step) -> dict[str, np.ndarray]:
    """Copies of what a checkpoint keeps."""
    kept = {f"state/{name}": np.array(array) for name, array in step.state().items()}
    if step.means:
        kept["means"] = step.means.rows.copy()
    kept |= {f"head/{name}": np.array(rows) for name, rows in head.store.arrays().items()}
    return kept | {f"backbone/{name}": local_array(value).copy() for name, value in backbone.named_parameters()}


def restored(wanted, mode, folder, runtime, saved):
    parts = backbone, head, step = make_step(wanted, mode, folder, runtime)
    for name, parameter in backbone.named_parameters():
        write_local(parameter, saved[f"backbone/{name}"])
    for name in head.store.arrays():
        head.store.load(name, saved[f"head/{name}"])
    if step.means:
        step.means.rows[:] = saved["means"]
    step.restore(HALF, {name[len("state/") :]: array for name, array in saved.items() if name.startswith("state/")})
    return parts


def both_ways(case: str, mode: str, folder: Path, runtime) -> dict[str, np.ndarray]:
    wanted, shares = settings(case), []
    for given in batches(wanted["gradient_acc"], wanted["classes"], wanted["labels"]):
        shares.append(tuple(np.split(array, runtime.ranks)[runtime.rank] for array in given))
    parts = make_step(wanted, mode, folder / "one", runtime)
    train(parts[-1], shares[:HALF])
    saved = everything(*parts)
    undisturbed = {"losses": train(parts[-1], shares[HALF:])} | everything(*parts)
    parts = restored(wanted, mode, folder / "two", runtime, saved)
    again = {"losses": train(parts[-1], shares[HALF:])} | everything(*parts)
    ends = {"saved": saved, "undisturbed": undisturbed, "again": again}
    return {f"{end}/{name}": array for end, arrays in ends.items() for name, array in arrays.items()}


if __name__ == "__main__":
    mode, output, *cases = sys.argv[1:]
    runtime = start_runtime("cpu")
    results = {f"{c}/{n}": a for c in cases for n, a in both_ways(c, mode, Path(output, c), runtime).items()}
    np.savez(f"{output}-{runtime.rank}.npz", **results)
