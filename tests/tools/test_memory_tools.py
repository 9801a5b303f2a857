"""plan_memory, find_max_classes and benchmark as a user calls them."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from planning.report import plot
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("speed_head", "device=cpu", "batch_size=16")


def tool(name: str, *arguments: str, status: int = 0) -> str:
    """What it prints; with another status its last line on stderr."""
    command = [sys.executable, f"tools/{name}.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == status, done.stderr[-3000:]
    return done.stderr.strip().splitlines()[-1] if status else done.stdout


def test_a_plan_for_a_cpu():
    said = tool("plan_memory", *SMALL, "num_classes=500000", "--host_memory", "8GiB", "--ranks", "2")
    assert "head momentum" in said and "total" in said and "identities as configured" in said
    assert "Suggested for 500,000: sample_rate=" in said


def test_a_plan_for_cards_says_that_it_was_not_checked():
    said = tool("plan_memory", "ms1mv3_mbf", "network=mbf_tiny", "--gpu_memory", "16GiB", "--ranks", "8")
    assert "On the card" in said and "not checked on one" in said


def test_find_max_classes_agrees_with_the_planner():
    said = tool("find_max_classes", *SMALL, "sample_rate=0.1", "--memory", "700MiB", "--tolerance", "0.1")
    assert " identities: yes, " in said and " identities: no, it held more than its limit" in said
    assert abs(float(said.rpartition("(")[2].rstrip("%)\n"))) < 15


def test_a_benchmark_writes_figures_and_a_plot(tmp_path):
    out = tmp_path / "runs" / "speed.json"
    said = tool(
        "benchmark", *SMALL, "--classes", "1000,4000000", "--sample_rates", "0.5", "--ranks", "1", "--steps", "2",
        "--warmup", "1", "--memory", "1GiB", "--out", out,
    )  # fmt: skip
    report = json.loads(out.read_text())
    small, large = report["points"]
    assert small["images_per_second"] == pytest.approx(16e3 / small["step_ms"]) and 0 <= small["head_share"] < 1
    assert 100 << 20 < small["memory_bytes"] < 1 << 30 and report["machine"]["cores"] >= 1
    assert "out_of_memory" in large and "out of memory" in said.splitlines()[4]
    title = said.splitlines()[0].partition("; ")[0]
    assert out.with_suffix(".svg").read_text() == plot(title, report["points"])


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("plan_memory", (*SMALL, "device=cuda"), "needs --gpu_memory"),
        ("plan_memory", (*SMALL, "--host_memory", "much"), "much is not an amount of memory"),
        ("plan_memory", (*SMALL, "--ranks", "0"), "there must be at least one"),
        ("plan_memory", ("no_such",), "There is no config file"),
        ("find_max_classes", (*SMALL, "--memory", "100MiB"), "not even 2 identities fit"),
        ("find_max_classes", (*SMALL, "--tolerance", "2"), "--tolerance from 0.001"),
        ("benchmark", (*SMALL, "--ranks", "two"), "--ranks two is not possible"),
        ("benchmark", (*SMALL, "--warmup", "0"), "must be at least 1"),
        ("benchmark", (*SMALL, "--out", "speed.csv"), "must end in .json"),
        ("benchmark", (*SMALL, "sample_rat=1"), "did you mean sample_rate"),
    ],
)
def test_mistakes_are_one_sentence(name, arguments, sentence):
    with pytest.raises(UserError) as refused:
        import_module(f"tools.{name}").main(list(arguments))
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["plan_memory", "find_max_classes", "benchmark"])
def test_a_mistake_ends_with_status_2(name):
    assert tool(name, "no_such", status=2).startswith("error: There is no config file")
