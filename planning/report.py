"""Speed runs as people read them: a table, a plot, and the machine they belong to."""

import importlib.metadata
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from planning.memory import total
from planning.plot import draw


def machine() -> dict:
    """What a figure is worth nothing without."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    facts = {"cpu": model, "cores": len(os.sched_getaffinity(0)), "memory_bytes": total()}
    return facts | {"oneflow": importlib.metadata.version("oneflow")}


def markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table which reads well as it is too; numbers, right of the first column, end below each other."""
    wide, *widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    lines = []
    for first, *cells in (titles, ["-" * wide, *("-" * (width - 1) + ":" for width in widths)], *rows):
        line = [f"{first:<{wide}}", *(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))]
        lines.append(f"| {' | '.join(line)} |")
    return "\n".join(lines)


def table(points: list[dict]) -> str:
    """Markdown; a point that ran out of memory says so in the place of its figures."""
    head = "| identities | sample_rate | ranks | img/s | step ms | head's share | memory per rank |"
    rows = [head, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for point in points:
        where = f"| {point['classes']} | {point['sample_rate']} | {point['ranks']} |"
        if "out_of_memory" in point:
            rows.append(f"{where} - | - | - | out of memory: {point['out_of_memory']} |")
            continue
        share = "-" if point["head_share"] is None else f"{point['head_share']:.0%}"
        memory = f"{point['memory_bytes'] / 2**30:.2f} GiB"
        rows.append(f"{where} {point['images_per_second']:.1f} | {point['step_ms']:.0f} | {share} | {memory} |")
    return "\n".join(rows)


def plot(title: str, points: list[dict]) -> str:
    """SVG: images per second and memory per rank against identities, a line for each sample_rate and ranks."""
    speed, memory = defaultdict(list), defaultdict(list)
    for point in points:
        if "out_of_memory" not in point:
            name = f"sample_rate {point['sample_rate']}, {point['ranks']} rank(s)"
            speed[name].append((point["classes"], point["images_per_second"]))
            memory[name].append((point["classes"], point["memory_bytes"] / 2**30))
    return draw(title, [("img/s", list(speed.items())), ("GiB of memory per rank", list(memory.items()))])
