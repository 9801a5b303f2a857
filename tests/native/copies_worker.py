"""Prints "COPIES n" for each of the networks named: how many operators of its compiled step change images' layout."""

import sys

from engine.job_graph import JobGraph, kind_of
from native.library import load_kernels
from planning import job
from utils.config import load_config


def main(networks: list[str]) -> None:
    load_kernels()
    for network in networks:
        keys = [f"network={network}", "batch_size=2", "device=cpu", "output=unused"]
        net = JobGraph(job._build(load_config("synthetic", keys), 1, "cpu", native=True))
        kinds = [kind_of(op) for op in net.ops.values()]
        assert "channels_last_conv2d" in kinds
        print("COPIES", sum(kind in ("to_channels_first", "to_channels_last") for kind in kinds), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
