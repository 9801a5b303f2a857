"""A .tar or .zip of person folders as a source. Images are read in place: nothing is unpacked onto the disk."""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preparation.sources.archive_members import NOTHING, Extent, Member, read_extent, read_members
from preparation.sources.files import FileReader, FileSource
from preparation.sources.folder import folder_in_folder, is_image, loose_image
from preparation.sources.source import stamps
from utils.errors import UserError

SUFFIXES = (".tar", ".zip", ".tgz", ".gz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")  # refused ones too
_EXTENTS, _MEMBER_NAMES = "extents.npy", "members"
_LINKS_FOLLOWED = 40  # as Linux


class ArchiveSource(FileSource):
    """PERSON/IMAGE, or both in one folder that holds all of it; else as in `FolderSource`, and the same set.

    Of members of one name the last counts. A link stands for the member that it leads to; one that leads to none cannot
    be read. Verification sets do not come along.

    Raises UserError for what `FolderSource` refuses, for a link in place of a person's folder, and as `read_members`.
    """

    format = "archive of person folders"
    class_names: list[bytes]

    def __init__(self, archive: Path, scratch: Path, image_size: tuple[int, int]) -> None:
        self._scratch = scratch
        super().__init__(archive, archive, archive.parent, scratch, image_size)
        self.num_classes = len(self.class_names)
        self.reader = ArchiveReader(archive, scratch, image_size)

    def listed(self) -> Iterator[tuple[bytes, int]]:
        """Also keeps where each of them lies, in the same order."""
        listing = _Listing(self._scratch / _MEMBER_NAMES, read_members(self.path))
        listing.follow_links()
        prefix = listing.common_folder()
        people, members, whose = self._find_people(listing, prefix)
        self.class_names = sorted(people)
        label_of = np.empty(len(people), np.int64)
        label_of[[people[name] for name in self.class_names]] = np.arange(len(people))
        labels = label_of[whose]
        members = members[np.argsort(labels, kind="stable")]
        ends = np.cumsum(np.bincount(labels, minlength=len(people)))
        order = array("q")
        for label, (start, end) in enumerate(zip([0, *ends.tolist()], ends.tolist(), strict=False)):
            last = {listing.name(member).removeprefix(prefix): member for member in members[start:end].tolist()}
            for name in sorted(last):
                order.append(last[name])
                yield name, label
        np.save(self._scratch / _EXTENTS, listing.extents[np.array(order, np.int64)])

    def fingerprint(self) -> Mapping[str, object]:
        return stamps([self.path])

    def beside(self) -> list[Path]:
        return []

    def is_changed_by(self, output: Path) -> bool:
        return False

    def _find_people(self, listing: _Listing, prefix: bytes) -> tuple[dict[bytes, int], np.ndarray, np.ndarray]:
        """People by name, in the order in which they come; the members in their folders, and whose each is."""
        people: dict[bytes, int] = {}
        members, whose = array("q"), array("q")
        for member in listing.visible():
            name = listing.name(member)
            person, *below = name.removeprefix(prefix).split(b"/")
            path = f"{os.fsdecode(name)} in {self.path}"
            if not below and member in listing.links and listing.extents[member, 0] == NOTHING:
                raise UserError(f"{path} is a link beside the person folders; pack what it leads to, or leave it out.")
            if not below and is_image(person):
                raise loose_image(path)
            if len(below) > 1:
                raise folder_in_folder(f"The folder of {path}", Path(os.fsdecode(prefix) or self.path.name))
            if below:
                members.append(member)
                whose.append(people.setdefault(person, len(people)))
        return people, np.array(members, np.int64), np.array(whose, np.int64)


@dataclass(frozen=True)
class ArchiveReader(FileReader):
    """Reads members of the archive `root` by their extents in the list that is kept in `scratch`."""

    def contents(self, keys: Iterable[int]) -> Iterator[bytes | None]:
        extents = np.load(self.scratch / _EXTENTS, mmap_mode="r")
        with open(self.root, "rb", buffering=0) as file:
            for key in keys:
                yield read_extent(file.fileno(), Extent(*extents[key].tolist()))


class _Listing:
    """All members of an archive by their numbers; the names are in the file `path`.

    extents: (members, 5) int64, an `Extent` each; links: what each link leads to.
    """

    def __init__(self, path: Path, members: Iterable[Member]) -> None:
        extents, self._ends = array("q"), array("q", [0])
        self.links: dict[int, bytes] = {}
        with open(path, "wb") as file:
            for number, (name, extent, target) in enumerate(members):
                file.write(name)
                self._ends.append(self._ends[-1] + len(name))
                extents.extend(extent)
                if target is not None:
                    self.links[number] = target
        self.extents = (
            np.frombuffer(extents, np.int64).reshape(-1, len(Extent._fields)) if extents else np.empty((0, 5))
        )
        with open(path, "rb") as file:
            self._names = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self._ends[-1] else b""

    def __len__(self) -> int:
        return len(self._ends) - 1

    def name(self, member: int) -> bytes:
        return self._names[self._ends[member] : self._ends[member + 1]]

    def visible(self) -> Iterator[int]:
        """The members whose names, and those of their folders, do not begin with a dot."""
        return (member for member in range(len(self)) if b"/." not in b"/" + self.name(member))

    def common_folder(self) -> bytes:
        """`NAME/` where all visible members are below one folder, and some of them in folders of it; else empty."""
        tops, deepest = set(), 0
        for member in self.visible():
            top, *below = self.name(member).split(b"/")
            tops.add(top)
            deepest = max(deepest, len(below))
            if len(tops) > 1:
                return b""
        return tops.pop() + b"/" if deepest > 1 else b""

    def follow_links(self) -> None:
        """Give each link the extent of the member that it leads to, through other links too."""
        wanted = set(self.links.values())
        named = ((self.name(member), member) for member in range(len(self))) if wanted else ()
        numbers = {name: member for name, member in named if name in wanted}
        for link, target in self.links.items():
            for _ in range(_LINKS_FOLLOWED):
                member = numbers.get(target)
                if member is None or member not in self.links:
                    break
                target = self.links[member]
            if member is not None and member not in self.links:
                self.extents[link] = self.extents[member]
