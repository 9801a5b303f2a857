"""Whole networks keep images with channels last: nothing but the network's input is copied into that layout."""

from tests.ranks import run_ranks

NETWORKS = ("resnet50", "mobilenet_v3_large", "efficientnet_b0", "ghostnet", "resnest50")


def test_one_copy():
    lines = run_ranks(1, "tests/native/copies_worker.py", *NETWORKS).splitlines()
    assert [line.split("COPIES ")[1] for line in lines if "COPIES " in line] == ["1"] * len(NETWORKS)
