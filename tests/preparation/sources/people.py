"""The same faces in every form that a source may have."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.manifest import Manifest
from data.ofrecord import index_path
from tests.data.mxnet_sets import jpegs, write_set

SORTED = ["Bob b", "anna", "bob b", "zoë"]  # by their bytes; two differ only in case
COUNTS = [3, 1, 4, 2]  # images of each of SORTED


def faces() -> tuple[list[bytes], list[int]]:
    """Images and labels, by identity."""
    labels = [label for label, count in enumerate(COUNTS) for _ in range(count)]
    return jpegs(len(labels)), labels


def as_recordio(folder: Path) -> Path:
    images, labels = faces()
    return write_set(folder, images, list(map(float, labels)), len(COUNTS))


def as_folder(folder: Path) -> Path:
    for number, (image, label) in enumerate(zip(*faces(), strict=True)):
        person = folder / SORTED[label]
        person.mkdir(parents=True, exist_ok=True)
        (person / f"a face {number:03d}.jpg").write_bytes(image)
    return folder


def as_list(folder: Path, line: str = "{name}\t{label}\n") -> Path:
    """A folder of images and `label.txt`, each of whose lines is `line` with {name}, {label} and {person} filled in."""
    (folder / "images").mkdir(parents=True)
    lines = []
    for number, (image, label) in enumerate(zip(*faces(), strict=True), 1):
        name = f"images/{number:08d}.jpg"
        (folder / name).write_bytes(image)
        lines.append(line.format(name=name, label=label, person=SORTED[label]))
    (folder / "label.txt").write_text("".join(lines))
    return folder


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    tar.addfile(about, io.BytesIO(content))


def as_shards(folder: Path, extension: str = "cls", text: str = "{label}") -> Path:
    """A WebDataset of three shards, as its own writer lays them out; labels are `text`, filled in as in `as_list`."""
    folder.mkdir(parents=True)
    images, labels = faces()
    for shard in range(3):
        with tarfile.open(folder / f"faces-{shard:04d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in range(4 * shard, min(4 * shard + 4, len(images))):
                says = text.replace("{label}", str(labels[number])).replace("{person}", SORTED[labels[number]])
                add_member(tar, f"{number:06d}.{extension}", says.encode())
                add_member(tar, f"{number:06d}.jpg", images[number])
    return folder


def records(folder: Path) -> list[tuple[int, bytes]]:
    """[(label, image)] of a finished set, in the order of its parts."""
    manifest = Manifest.load(folder)
    manifest.check(folder)
    images = []
    for part in manifest.parts:
        data = (folder / part.name).read_bytes()
        for offset, length, label in np.load(index_path(folder / part.name)).tolist():
            images.append((label, data[offset : offset + length]))
    return images


def digest(pairs: Sequence[tuple[int, bytes]]) -> str:
    """Of a set of (label, image), whatever their order."""
    lines = sorted(f"{label} {hashlib.sha256(image).hexdigest()}\n" for label, image in pairs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
