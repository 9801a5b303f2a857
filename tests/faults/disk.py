"""What a disk may hold after a power cut, from the calls that were made before it.

A file's bytes are on it once the file was synced, a folder's names once the folder was; all else may be lost. What is
tried are the two ends of that: no name is lost that was given, or all are whose folder was not synced since.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.faults.calls import Call

KEPT, UNDONE = "names kept", "names undone"
_CHANGES = (
    "open",
    "sync",
    "syncfs",
    "mkdir",
    "unlink",
    "rename",
    "exchange",
)  # what is written is nowhere before it is synced


class _File:
    """synced: its bytes on the disk; None: none since it was made. emptied: opened as if new since then."""

    def __init__(self, synced: bytes | None = None) -> None:
        self.synced, self.emptied = synced, False

    def write(self, path: Path, kept: bool) -> None:
        path.write_bytes(b"" if kept and self.emptied else self.synced or b"")

    def sync(self, copy: Path) -> None:
        self.synced, self.emptied = copy.read_bytes(), False

    sync_all = sync


class _Folder:
    def __init__(self) -> None:
        self.names, self.synced = {}, {}

    def write(self, path: Path, kept: bool) -> None:
        path.mkdir()
        for name, node in (self.names if kept else self.synced).items():
            node.write(path / name, kept)

    def sync(self, _: Path) -> None:
        self.synced = dict(self.names)

    def sync_all(self, copy: Path) -> None:
        self.sync(copy)
        for name, node in self.names.items():
            node.sync_all(copy / name)


class Disk:
    """A folder's, which begins as `folder` is now; paths in calls are those below `root`."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._root, self._top = root, _read(folder)

    def apply(self, call: Call, notes: Path) -> None:
        """What a call has changed. notes: the folder with the bytes that each sync has brought to the disk."""
        if not call.done or call.name not in _CHANGES or str(call.path).endswith("(deleted)"):
            return
        if call.name == "sync":
            self._at(call.path).sync(notes / str(call.number))
            return
        if call.name == "syncfs":
            self._top.sync_all(notes / str(call.number))
            return
        folder, name = self._place(call.path)
        if call.name == "open":
            node = folder.names.setdefault(name, _File())
            node.emptied = node.emptied or call.more == "truncated"
        elif call.name == "mkdir":
            folder.names[name] = _Folder()
        elif call.name == "unlink":
            folder.names.pop(name)
        elif call.name == "rename":
            target, new_name = self._place(call.other)
            target.names[new_name] = folder.names.pop(name)
        elif call.name == "exchange":
            target, new_name = self._place(call.other)
            target.names[new_name], folder.names[name] = folder.names[name], target.names[new_name]

    def write(self, folder: Path, variant: str) -> None:
        """What is left of it, into a new folder."""
        self._top.write(folder, variant == KEPT)

    def _at(self, path: Path) -> "_File | _Folder":
        node = self._top
        for name in path.relative_to(self._root).parts:
            node = node.names[name]
        return node

    def _place(self, path: Path) -> tuple[_Folder, str]:
        return self._at(path.parent), path.name


def _read(path: Path) -> "_File | _Folder":
    """As it is, all of it on the disk."""
    if not path.is_dir():
        return _File(path.read_bytes())
    folder = _Folder()
    folder.names = {child.name: _read(child) for child in path.iterdir()}
    folder.synced = dict(folder.names)
    return folder


def power_cuts(calls: Sequence[Call]) -> Iterator[int]:
    """The numbers of calls that change what a disk may hold: the power is cut before each."""
    yield from (call.number for call in calls if call.done and call.name in _CHANGES)
