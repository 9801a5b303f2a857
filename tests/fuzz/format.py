"""What the fuzzer must know of a format."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutate import mutated, mutated_header, mutated_json, mutated_lines

_MUTATORS = {".json": mutated_json, ".jsonl": mutated_lines, ".safetensors": mutated_header}


@dataclass(frozen=True)
class Format:
    """A format that is read here.

    make: writes whole files of it into a folder; files: those of them that are damaged, one at a time; read: reads them
    as a user's program does, and returns what they hold, in words that differ where that does. covers: the modules that
    read them. sealed: files with checksums: damage is then refused, or changes nothing. after: done to a folder once a
    file is damaged, such as a checksum made again, so that what lies behind it is reached.
    """

    name: str
    covers: tuple[str, ...]
    make: Callable[[Path], None]
    files: tuple[str, ...]
    read: Callable[[Path], str]
    sealed: bool = False
    after: Callable[[Path], None] = lambda folder: None

    def mutator(self, file: str) -> Callable:
        return _MUTATORS.get(Path(file).suffix, mutated)
