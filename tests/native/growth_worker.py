"""The process of test_growth.py: prints megabytes held after many steps, and after convolutions of many sizes."""

import json
from pathlib import Path

import numpy as np
import oneflow as flow

from engine.graph import TrainGraph
from native.library import scratch_bytes, with_kernels
from optim import make_optimizer
from optim.compiled import LearningRate
from optim.parameters import ParameterRules
from tests.engine.recompute_worker import Loss, Network
from utils.cpu_wait import sleep_while_waiting
from utils.runtime import start_runtime

STEPS, SIZES = 2000, 1200  # more sizes than primitives are kept


def held() -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) / 1024


def main() -> None:
    sleep_while_waiting()
    runtime, missing = with_kernels(start_runtime("cpu"))
    assert not missing, missing
    network = Network().train().to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    rate = LearningRate(runtime.placement)
    graph = TrainGraph(Loss(network), rate, make_optimizer("sgd"), ParameterRules(5e-4), native=True)
    images = runtime.split_batch(np.ones((4, 3, 13, 13), np.float32))
    labels, memory = runtime.split_batch(np.zeros(4, np.int64)), []
    for step in range(STEPS):
        graph(images, labels, {}, {})["losses"]["loss"].to_local().numpy()
        if step in (STEPS // 4, STEPS - 1):
            memory.append(held())
    weight = flow.randn(8, 8, 3, 3)
    for width in range(3, 3 + SIZES):
        flow._C.conv2d(flow.randn(1, 8, 3, width), weight, None, [1, 1], [1, 1], [1, 1], 1).numpy()
        if width in (3 + 700, 2 + SIZES):  # the first one is beyond what is kept
            memory.append(held())
    print(json.dumps({"memory": memory, "scratch": scratch_bytes()}))


if __name__ == "__main__":
    main()
