"""The list of attacks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Attack:
    """format: whose files it replaces; make: writes it into the folder of these and returns its file's name.

    harmless: it may be accepted, as long as nothing happens.
    """

    format: str
    make: Callable[[Path], str]
    harmless: bool


ATTACKS: dict[str, Attack] = {}


def attack(form: str, file: str, harmless: bool = False):
    """Registers a function that returns the content of `file`, from the content it has."""

    def register(content: Callable[[bytes], bytes]) -> Callable:
        def make(folder: Path) -> str:
            (folder / file).write_bytes(content((folder / file).read_bytes()))
            return file

        ATTACKS[content.__name__] = Attack(form, make, harmless)
        return content

    return register


def folder_attack(form: str, harmless: bool = False):
    """Registers a function that changes the folder by itself, and returns the name of what it changed."""

    def register(make: Callable[[Path], str]) -> Callable:
        ATTACKS[make.__name__] = Attack(form, make, harmless)
        return make

    return register
