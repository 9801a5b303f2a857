"""One rank of tests/engine/test_layout.py: runs a step of each case on CPU and writes the job that ran to FOLDER."""

import sys
from pathlib import Path

import numpy as np
import oneflow as flow

from tests.layout.cases import CPU_CASES, IN, on_ranks
from tests.layout.step import build_step, step_inputs
from utils.cpu_wait import sleep_while_waiting
from utils.runtime import start_runtime

if __name__ == "__main__":
    (folder,) = sys.argv[1:]
    runtime = start_runtime("cpu")
    sleep_while_waiting()  # as train.py does
    kept = []  # OneFlow knows a tensor that has been in a graph by its address
    for name, case in on_ranks(CPU_CASES, runtime.ranks).items():
        graph, rows = build_step(case, runtime), case.batch // runtime.ranks
        images = runtime.split_batch(np.ones((rows, IN), np.float32))
        labels = runtime.split_batch(np.arange(rows, dtype=np.int64))
        whole = {"placement": runtime.placement, "sbp": flow.sbp.broadcast}
        state = {name: flow.full((case.gradient_acc,), value, **whole) for name, value in case.margin().state.items()}
        inputs = step_inputs(case, rows, labels, lambda *shape: runtime.split_batch(np.ones(shape, np.float32)))
        graph(images, labels, state, inputs)["losses"]["loss"].to_local().numpy()  # waits for the step
        kept.append((graph, images, labels, state, inputs))
        if runtime.is_main:
            Path(folder, f"{name}.job").write_bytes(graph._compiled_graph_proto.SerializeToString())
