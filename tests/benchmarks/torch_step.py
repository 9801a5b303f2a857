"""The PyTorch side of bench_cpu_speed, run by a Python that has torch: NETWORK BATCH STEPS THREADS PROCESSES LAYOUT.

A full step as arcface_torch makes it: backbone, ArcFace over 10,000 classes, clipping, SGD with momentum. BATCH: of all
processes; several train as DistributedDataParallel, each with all class centers. LAYOUT: first or last (channels).
"""

import json
import os
import resource
import sys
import time

import torch
from torch import distributed, nn
from torch.nn import functional

from tests.benchmarks.torch_vit import FaceVit
from tests.torch_side import NETWORKS as _CNNS

NETWORKS = {**_CNNS, "vit_t": lambda: FaceVit(256, 12), "vit_s": lambda: FaceVit(512, 12)}

LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}


def train(rank: int, network: str, batch: int, steps: int, threads: int, processes: int, layout: str) -> None:
    torch.set_num_threads(threads)
    model = NETWORKS[network]().train().to(memory_format=LAYOUTS[layout])
    parameters = list(model.parameters())
    if processes > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": os.environ.get("BENCH_PORT", "29655")}
        distributed.init_process_group("gloo", rank=rank, world_size=processes)
        model = nn.parallel.DistributedDataParallel(model)
    centers = nn.Parameter(torch.randn(10000, 512) * 0.01)
    optimizer = torch.optim.SGD([*parameters, centers], lr=0.1, momentum=0.9, weight_decay=5e-4)
    own = batch // processes
    images = torch.randn(own, 3, 112, 112).to(memory_format=LAYOUTS[layout])
    labels, rows = torch.randint(10000, (own,)), torch.arange(own)
    walls, cpus = [], []
    for _ in range(steps + 2):
        wall, cpu = time.perf_counter(), time.process_time()
        cosine = functional.linear(functional.normalize(model(images)), functional.normalize(centers)).clamp(-1, 1)
        with torch.no_grad():
            cosine[rows, labels] = torch.cos(torch.acos(cosine[rows, labels]) + 0.5)
        functional.cross_entropy(cosine * 64, labels).backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        optimizer.zero_grad()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    if rank == 0:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print("MEASURED " + json.dumps({"seconds": walls[2:], "cpu_seconds": cpus[2:], "peak_gib": peak}), flush=True)


if __name__ == "__main__":
    name, *numbers, order = sys.argv[1:]
    settings = (name, *map(int, numbers), order)
    if settings[4] > 1:
        torch.multiprocessing.spawn(train, settings, nprocs=settings[4])
    else:
        train(0, *settings)
