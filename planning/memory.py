"""Amounts of memory: what the kernel says a process holds, and how people write it."""

import re
from collections.abc import Mapping
from pathlib import Path

from utils.errors import UserError

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse_bytes(text: str) -> int:
    """ "4GiB", "4G" (the same), "4.5GB" (powers of ten) or "1000000" in bytes. Raises UserError."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([A-Za-z]*)", text.strip())
    unit = _UNITS.get((match[2] or "B").upper()) if match else None
    if match is None or unit is None or float(match[1]) * unit < 1:
        raise UserError(f"{text} is not an amount of memory; write such as 4GiB, 4.5GB or 800MiB")
    return int(float(match[1]) * unit)


def show_bytes(count: float) -> str:
    """ "1.25 GiB"; below 1 GiB in MiB."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def held(pid: int | str = "self") -> dict[str, int]:
    """What a process holds, in bytes, by the names of /proc/PID/status: VmRSS, VmHWM (its peak), RssAnon, RssFile ...

    Raises OSError where there is no such process; one that is just ending has no entries.
    """
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[-1] == "kB"}


def own_bytes(status: Mapping[str, int]) -> int:
    """Of `held`: what no file backs. Pages of libraries are one for all processes, and the kernel may drop them; how
    many it keeps around those that are used differs by 100 MB between machines."""
    return status.get("RssAnon", 0) + status.get("RssShmem", 0)


def available() -> int:
    """Bytes that this machine could give to new processes."""
    return _of_the_machine("MemAvailable")


def total() -> int:
    """Bytes of memory this machine has."""
    return _of_the_machine("MemTotal")


def _of_the_machine(name: str) -> int:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return next(int(line[1]) * 1024 for line in lines if line[0] == f"{name}:")
