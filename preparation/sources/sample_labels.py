"""The identity that a sample of a WebDataset says beside its image: in a .cls, a .txt, or a field of a .json."""

from __future__ import annotations

import re
from pathlib import Path

from preparation.sources.archive_members import Extent, read_extent
from utils.errors import UserError
from utils.reading.faults import shown
from utils.reading.json_file import is_text, parse_object
from utils.reading.limits import limits

KINDS = (b"cls", b"txt", b"json")
_FIELD = "label"  # of a .json where nothing else is said
_NUMBER = re.compile(rb"-?[0-9]+")
_MAX_DIGITS = 20
_MAX_LABEL = (1 << 31) - 1  # int32 in OFRecord
_FIELDS_SHOWN = 8


class SampleLabels:
    """Reads labels, all from the same kind of member, and all of them numbers or all names: the first says which.

    A .cls holds a number. Numbers stay as they are; names are numbered as they come, until `names` tells them all.

    Attributes:
        names: of all identities so far, in the order of those numbers; empty where identities are numbers.
        highest: the highest label so far.

    Args:
        source: `cls`, `txt`, `json` or `json:FIELD`; None: whichever the first sample has.

    Raises UserError for any other `source`.
    """

    def __init__(self, source: str | None) -> None:
        kind, _, field = (source or "").partition(":")
        self._kind = kind.encode() if source else None
        self._field = field or _FIELD
        if source and (self._kind not in KINDS or (field and kind != "json") or source.endswith(":")):
            raise UserError(f"--label {source} is not possible: it is cls, txt, json or json:FIELD.")
        self._numbers: bool | None = None
        self._codes: dict[bytes, int] = {}
        self.highest = 0

    @property
    def names(self) -> list[bytes]:
        return list(self._codes)

    def read(self, shard: Path, file: int, key: bytes, members: dict[bytes, Extent]) -> int:
        """The label of one sample.

        file: the shard, open; members: of the key, by their extensions.

        Raises UserError, which names the shard and the key.
        """
        found = [kind for kind in KINDS if kind in members]
        if self._kind is None:
            if len(found) > 1:
                kinds = " and a .".join(kind.decode() for kind in found)
                raise sample_fault(
                    shard, key, f"has a .{kinds}; say with --label which is the label (cls, txt or json:FIELD)"
                )
            self._kind = found[0] if found else None
        if self._kind is None or self._kind not in members:
            kind = self._kind.decode() if self._kind else "cls, .txt or .json"
            raise sample_fault(
                shard, key, f"has no label (no .{kind} lies beside its image; members of a key must follow each other)"
            )
        identity = self._identity(shard, file, key, members[self._kind])
        return self._label(shard, key, identity)

    def _identity(self, shard: Path, file: int, key: bytes, extent: Extent) -> bytes:
        if extent.size > limits().line_bytes:
            raise sample_fault(shard, key, f"has a label of {extent.size} bytes, beyond --limit line_bytes")
        content = read_extent(file, extent)
        if content is None:
            raise sample_fault(shard, key, "has a label that cannot be read (a link, or damaged)")
        identity = self._from_json(shard, key, content) if self._kind == b"json" else content.strip()
        if self._kind == b"cls" and not _NUMBER.fullmatch(identity):
            said = shown(identity.decode(errors="replace")) if identity else "nothing"
            raise sample_fault(shard, key, f"has a .cls that holds {said}, not an integer")
        if not identity or b"\0" in identity or len(identity.splitlines()) > 1:
            where = f".json whose {self._field}" if self._kind == b"json" else f".{_text(self._kind)} that"
            raise sample_fault(shard, key, f"has a {where} is empty, or more than the name of a person")
        return identity

    def _from_json(self, shard: Path, key: bytes, content: bytes) -> bytes:
        try:
            found = parse_object(content)
        except ValueError as error:
            raise sample_fault(shard, key, f"has a damaged .json: {shown(error)}") from None
        if self._field not in found:
            fields = shown(", ".join(list(found)[:_FIELDS_SHOWN])) if found else "none"
            raise sample_fault(
                shard,
                key,
                f"has a .json without the field {self._field} (it has {fields}); --label json:FIELD names another",
            )
        value = found[self._field]
        if type(value) is int:
            return b"%d" % value if abs(value) <= _MAX_LABEL else b"9" * _MAX_DIGITS
        if not is_text(value):
            raise sample_fault(shard, key, f"has a .json whose {self._field} is neither an integer nor a name")
        return value.strip().encode()

    def _label(self, shard: Path, key: bytes, identity: bytes) -> int:
        is_number = bool(_NUMBER.fullmatch(identity))
        if self._numbers is None:
            self._numbers = is_number
        if not self._numbers:
            return self._codes.setdefault(identity, len(self._codes))
        if not is_number:
            said = shown(identity.decode(errors="replace"))
            raise sample_fault(shard, key, f"has the label {said}, which is no integer as the first label is")
        digits = identity.lstrip(b"-").lstrip(b"0")[:_MAX_DIGITS] or b"0"
        label = -int(digits) if identity.startswith(b"-") else int(digits)
        if abs(label) > _MAX_LABEL:
            raise sample_fault(shard, key, f"has a label beyond {_MAX_LABEL}, where labels end; number them from 0")
        self.highest = max(self.highest, label)
        return label


def sample_fault(shard: Path, key: bytes, what: str) -> UserError:
    """A sentence on one sample."""
    return UserError(f"{shard}: the key {shown(key.decode(errors='replace'))} {what}.")


def _text(kind: bytes | None) -> str:
    return (kind or b"").decode()
