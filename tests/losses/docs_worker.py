"""One rank of tests/losses/test_docs.py: registers the losses of docs/losses.md and trains two steps with them."""

import re
import sys
from pathlib import Path

import numpy as np
import oneflow as flow

from data.batch import Batch
from tests.engine.cases import BASE, batches
from tests.engine.step_worker import make_step
from utils.runtime import start_runtime

PAGE = Path(__file__).resolve().parents[2] / "docs" / "losses.md"
HEADS = {"full": {}, "sampled": {"classes": 101, "rate": 0.3}, "summed": {"terms": ((0.1, "short", {}),)}}


def register_from_the_page() -> None:
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, PAGE.name, "exec"), {"__name__": "example"})


if __name__ == "__main__":
    mode, output = sys.argv[1:]
    runtime = start_runtime("cpu")
    register_from_the_page()
    results = {}
    for name, head in HEADS.items():
        wanted = {**BASE, **head, "loss": "example"}
        _, _, step = make_step(wanted, mode, Path(output, name), runtime)
        for i, batch in enumerate(batches(1, wanted["classes"])[:2]):
            losses = step(Batch(*(np.split(array, runtime.ranks)[runtime.rank] for array in batch)))
            for part, value in losses.items():
                results[f"{name}/{part}/{i}"] = value.to_global(sbp=flow.sbp.broadcast).to_local().numpy()
            results[f"{name}/usual/{i}"] = step.state()["loss.usual"]
    np.savez(f"{output}-{runtime.rank}.npz", **results)
