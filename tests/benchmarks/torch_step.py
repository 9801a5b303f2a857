"""The PyTorch side of bench_cpu_speed, run by a Python that has torch: NETWORK BATCH STEPS THREADS.

A full step as arcface_torch makes it: backbone, ArcFace over 10,000 classes, clipping, SGD with momentum.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional

from tests.torch_side import NETWORKS


def main(network: str, batch: int, steps: int, threads: int) -> None:
    torch.set_num_threads(threads)
    model = NETWORKS[network]().train()
    centers = nn.Parameter(torch.randn(10000, 512) * 0.01)
    optimizer = torch.optim.SGD([*model.parameters(), centers], lr=0.1, momentum=0.9, weight_decay=5e-4)
    images, labels = torch.randn(batch, 3, 112, 112), torch.randint(10000, (batch,))
    rows = torch.arange(batch)
    walls, cpus = [], []
    for _ in range(steps + 2):
        wall, cpu = time.perf_counter(), time.process_time()
        cosine = functional.linear(functional.normalize(model(images)), functional.normalize(centers)).clamp(-1, 1)
        with torch.no_grad():
            cosine[rows, labels] = torch.cos(torch.acos(cosine[rows, labels]) + 0.5)
        functional.cross_entropy(cosine * 64, labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    print("MEASURED " + json.dumps({"seconds": walls[2:], "cpu_seconds": cpus[2:], "blas": torch.__version__}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
