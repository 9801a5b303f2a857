"""What must hold for any prediction. tests/benchmarks/bench_plan.py compares predictions with many real runs."""

from functools import cache

import pytest

from backbones.registry import Sizes
from backbones.vit import vit
from planning.job import read_job
from planning.options import MemoryLimit, Planner
from utils.config import load_config
from utils.pixels import ImageShape

MB = 10**6


@cache
def planner(ranks: int = 1, device: str = "cpu", *overrides: str) -> Planner:
    return Planner(load_config("speed_head", ["device=cpu", "batch_size=32", *overrides]), ranks, device)


def test_the_full_layer_holds_weights_and_momentum_of_its_share():
    for ranks in (1, 2, 4):
        actual = planner(ranks).predict(400_000).host
        assert actual["head weight"] == pytest.approx(400_000 / ranks * 512 * 4, rel=1e-6)
        assert actual["head momentum"] == pytest.approx(400_000 / ranks * 512 * 4, rel=1e-6)


def test_the_store_of_sampled_centers_is_as_large_as_its_type():
    single = planner().predict(1_000_000, sample_rate=0.1).host
    half = planner().predict(1_000_000, sample_rate=0.1, head_dtype="float16").host
    assert single["head momentum"] == 2 * half["head momentum"] == 1_000_000 * 512 * 4
    assert single["head weight"] - half["head weight"] == 1_000_000 * 512 * 2
    assert single["normalized centers"] == half["normalized centers"] == 100_000 * (512 * 4 + 4)  # and their numbers


def test_centers_in_files_take_disk_and_no_memory():
    actual = planner().predict(1_000_000, sample_rate=0.1, head_store="mmap")
    assert actual.files == 1_000_000 * 512 * 8 and "head momentum" not in actual.host
    shared = planner(2).predict(1_000_000, sample_rate=0.1, head_store="mmap")
    assert shared.files == actual.files


@pytest.mark.parametrize("head", [{}, {"sample_rate": 0.1}, {"sample_rate": 0.1, "head_dtype": "float16"}])
def test_more_classes_take_more_and_more_ranks_less(head):
    totals = [planner().predict(classes, **head).host_total for classes in (10_000, 100_000, 1_000_000)]
    assert totals == sorted(set(totals))
    assert planner(4).predict(1_000_000, **head).host_total < planner(2).predict(1_000_000, **head).host_total


def test_activations_are_in_proportion_to_the_batch():
    small, large = (planner(1, "cpu", f"batch_size={size}").predict(10).host["activations"] for size in (64, 128))
    assert large == pytest.approx(2 * small, rel=0.02)


def test_a_positive_sample_is_never_cut():
    actual = planner(1, "cpu", "batch_size=64").predict(1000, sample_rate=0.01)
    assert actual.host["normalized centers"] == 64 * (512 * 4 + 4)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_most_classes_are_those_that_just_fit(device):
    plan, limit = planner(2, device), MemoryLimit(4 << 30, 8 << 30)
    for head in plan.options():
        most = plan.most_classes(limit, **head)
        assert limit.holds(plan.predict(most, **head))
        assert not limit.holds(plan.predict(int(most * 1.002) + 2, **head))
    assert plan.most_classes(MemoryLimit(100 * MB, 100 * MB)) == 0


def test_on_a_card_tensors_share_memory_and_the_host_keeps_what_is_stored_there():
    cpu, card = planner().predict(100_000), planner(1, "cuda").predict(100_000)
    assert card.card_total > 2 * 100_000 * 512 * 4 and card.host_total < 600 * MB
    assert card.card["logits"] + card.card["activations"] < cpu.host["logits"] + cpu.host["activations"]
    stored = planner(1, "cuda").predict(100_000, sample_rate=0.1, head_store="host")
    assert stored.host["head momentum"] == 100_000 * 512 * 4 and "head momentum" not in stored.card


def test_layer_norms_of_a_card_are_one_operator(monkeypatch):
    cfg = load_config("speed_head", ["device=cpu", "image_size=32", "batch_size=2", "cpu_kernels=False"])
    monkeypatch.setattr("planning.job.get_model", lambda *_: vit(Sizes(512, ImageShape(32, 32)), 0.0, dim=16, depth=1))
    plain, fused = (read_job(cfg, 1, device).operators for device in ("cpu", "cuda"))
    assert fused < plain - 3 * 2  # each takes three or more in the forward pass alone
