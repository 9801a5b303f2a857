"""A folder of person folders as a source: FACES/PERSON/IMAGE."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from data.storage import is_local
from preparation.sources.files import FileSource
from utils.errors import UserError

_IMAGE_SUFFIXES = (b".jpg", b".jpeg", b".png", b".bmp", b".webp")


class FolderSource(FileSource):
    """Identities and images in the order of their names' bytes; a folder without a file is no identity.

    Every file in a person's folder counts as an image, whatever its name; names with a leading dot are left out. Links
    are followed. An image beside the person folders, or a folder inside one, is refused: whose is it?

    Raises UserError for these, and for a folder that cannot be read.
    """

    format = "folder of person folders"
    class_names: list[bytes]

    def __init__(self, folder: Path, scratch: Path, image_size: tuple[int, int]) -> None:
        self.class_names = []
        super().__init__(folder, folder, folder, scratch, image_size)
        self.num_classes = len(self.class_names)

    def listed(self) -> Iterator[tuple[bytes, int]]:
        self.class_names.clear()
        for person in _scan(os.fsencode(self._root)):
            if not _is_folder(person):
                self._refuse_loose(person)
                continue
            files = _scan(person.path)
            if files:
                self.class_names.append(person.name)
            for file in files:
                if _is_folder(file):
                    raise folder_in_folder(os.fsdecode(file.path), self._root)
                yield person.name + b"/" + file.name, len(self.class_names) - 1

    def is_changed_by(self, output: Path) -> bool:
        return is_local(output) and Path(os.path.realpath(output)).is_relative_to(os.path.realpath(self._root))

    def _refuse_loose(self, entry: os.DirEntry) -> None:
        path = os.fsdecode(entry.path)
        if not os.path.exists(entry.path):
            raise UserError(f"{path} is a broken link; repair or remove it.")
        if is_image(entry.name):
            raise loose_image(path)


def is_image(name: bytes) -> bool:
    """Whether a file that lies in nobody's folder is called as an image is."""
    return name.lower().endswith(_IMAGE_SUFFIXES)


def loose_image(path: str) -> UserError:
    return UserError(f"{path} lies beside the person folders; move it into the folder of its person.")


def folder_in_folder(path: str, root: Path) -> UserError:
    """root: of the person folders."""
    return UserError(
        f"{path} is a folder inside a person's folder; a person's images must lie directly in {root}/PERSON/."
    )


def _scan(folder: bytes) -> list[os.DirEntry]:
    """What a folder holds, by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(b".")), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{os.fsdecode(folder)} cannot be read: {error.strerror}.") from None


def _is_folder(entry: os.DirEntry) -> bool:
    """Links are followed; one that leads nowhere is no folder."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
