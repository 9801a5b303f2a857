"""Lists of images as sources: MagFace's (`imgname 0 id 0`) and tab lists (`images/00000001.jpg<TAB>0`), as PLSC's.

MagFace: https://github.com/IrvingMeng/MagFace#basic-training. PLSC: its `label.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from preparation.sources.files import FileSource
from utils.errors import UserError
from utils.reading.lines import byte_lines

_NUMBER = re.compile(rb"-?[0-9]+")
_MAX_DIGITS = 20
_MAX_LABEL = (1 << 31) - 1  # int32 in OFRecord


class ListSource(FileSource):
    """One image a line, in the list's order. The first line says which kind of list it is.

    Identities that are numbers keep them as labels, and there are as many classes as the highest says, and one more.
    Identities that are words (the first is) are numbered in the order of their names' bytes.

    list_file: the list; root: where relative names begin (None: the list's folder).

    Raises UserError for a line that is not like the first.
    """

    format = "list of images"

    def __init__(self, list_file: Path, root: Path | None, scratch: Path, image_size: tuple[int, int]) -> None:
        self._list = list_file
        self._labels: dict[bytes, int] = {}
        identities: set[bytes] = set()
        highest, lowest, number = 0, 0, None
        for line, _, identity in self._lines():
            if number is None:
                number = bool(_NUMBER.fullmatch(identity))
            if not number:
                identities.add(identity)
            elif not _NUMBER.fullmatch(identity):
                raise UserError(f"{list_file}, line {line}: the identity must be a number, as in the first line.")
            else:
                label = int(identity[:_MAX_DIGITS])  # enough to see that it is too large
                highest, lowest = max(highest, label), min(lowest, label)
        if max(highest, -lowest) > _MAX_LABEL:
            raise UserError(f"{list_file} has an identity beyond {_MAX_LABEL}, where labels end; number them from 0.")
        if not number:
            self.class_names = sorted(identities)
            self._labels = {name: label for label, name in enumerate(self.class_names)}
        self.num_classes = len(identities) or highest + 1
        super().__init__(list_file, root or list_file.parent, list_file.parent, scratch, image_size)

    def listed(self) -> Iterator[tuple[bytes, int]]:
        for _, name, identity in self._lines():
            yield name, self._labels[identity] if self._labels else int(identity)

    def is_changed_by(self, output: Path) -> bool:
        return False

    def _lines(self) -> Iterator[tuple[int, bytes, bytes]]:
        """The number of each line that is not empty, the image's name, and its identity."""
        tab = None
        for number, line in byte_lines(self._list):
            if not line:
                continue
            tab = b"\t" in line if tab is None else tab
            fields = line.rsplit(b"\t", 1) if tab else line.rsplit(b" ", 3)
            zeros = fields[1::2] == [b"0", b"0"]
            if not all(fields) or len(fields) != (2 if tab else 4) or not (tab or zeros):
                form = "'name<tab>identity'" if tab else "'name 0 identity 0' or 'name<tab>identity'"
                raise UserError(f"{self._list}, line {number}: the list's lines must be {form}.")
            yield number, fields[0], fields[1 if tab else 2]
