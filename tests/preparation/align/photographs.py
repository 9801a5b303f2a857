"""A folder of photographs as people have them: real ones of installed packages, and all that goes wrong."""

import os
import shutil
import struct
import zlib
from pathlib import Path

from PIL import Image

from tests.recognition.faces import ASTRONAUT, FRIENDS

HOSTILE_PERSON, HOSTILE_FILE = b"\xff\xfe person", b'-rf \n"a";b,c \xe9.jpg'


def write_photographs(folder: Path) -> Path:
    """Eileen with all that is odd, friends, things without a face, a person and file of hostile names."""
    eileen = folder / "Eileen"
    eileen.mkdir(parents=True)
    shutil.copy(ASTRONAUT, eileen / "astronaut.png")
    astronaut = Image.open(ASTRONAUT).convert("RGB")
    lying = Image.Exif()
    lying[0x0112] = 6  # to be shown turned by 90 degrees
    astronaut.rotate(90, expand=True).save(eileen / "turned.jpg", exif=lying, quality=95)
    astronaut.resize((150, 150)).save(eileen / "small.png")
    (eileen / "broken.jpg").write_bytes(FRIENDS.read_bytes()[:30000])
    (eileen / "empty.jpg").touch()
    (eileen / "notes.txt").write_text("no picture")
    (eileen / "huge.png").write_bytes(huge_png(60000))
    (eileen / "link.jpg").symlink_to("nowhere")
    os.mkfifo(eileen / "pipe.jpg")
    (eileen / "folder").mkdir()
    (eileen / "folder/loop").symlink_to(eileen)
    (eileen / "folder/again").mkdir()
    shutil.copy(ASTRONAUT, eileen / "folder/again/astronaut.png")
    _copy(FRIENDS, folder, b"friends", b"t1.jpg")
    for name in ("coffee", "coins", "chelsea"):
        _copy(ASTRONAUT.with_name(f"{name}.png"), folder, b"things", name.encode() + b".png")
    _copy(ASTRONAUT, folder, HOSTILE_PERSON, HOSTILE_FILE)
    shutil.copy(ASTRONAUT, folder / "loose.png")
    return folder


def huge_png(side: int) -> bytes:
    """The header of side x side pixels in few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def _copy(source: Path, folder: Path, person: bytes, file: bytes) -> None:
    os.makedirs(os.path.join(os.fsencode(folder), person), exist_ok=True)
    shutil.copy(source, os.path.join(os.fsencode(folder), person, file))
