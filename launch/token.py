"""The secret by which the launchers of a run on several machines know each other."""

import hashlib
import os
import secrets
import string
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from utils.errors import UserError
from utils.files import sync

_FILE = Path(__file__).resolve().parents[1] / ".master_token"
_LETTERS = frozenset(string.ascii_letters + string.digits + string.punctuation)
_SHORTEST, _LONGEST = 16, 1024  # characters; who overhears a meeting can try out tokens that are easily guessed
_WAIT = 10.0  # seconds that others wait for the file of node 0, which may be making it on a disk they share


def read_token(environ: Mapping[str, str], node: int, addr: str) -> tuple[bytes, str]:
    """The token in MASTER_TOKEN, or in the file MASTER_TOKEN_FILE, else in `.master_token` of the repository.

    Node 0 makes the file if there is none; the second value then says so, and what to type on the others. It is empty
    otherwise. Raises UserError: there is no token, or none that protects.
    """
    if "MASTER_TOKEN" in environ:
        return _checked(environ["MASTER_TOKEN"], "MASTER_TOKEN"), ""
    path = Path(environ.get("MASTER_TOKEN_FILE") or _FILE).absolute()
    try:
        made = node == 0 and not path.exists() and _make(path)
        token = _read(path, wait=0.0 if node == 0 else _WAIT)
    except FileNotFoundError:
        raise UserError(
            f"Node {node} has no token to show to node 0. Type here, once: scp {addr}:{path} {path} (node 0 makes that "
            "file when it starts), or set MASTER_TOKEN to what it holds."
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be used ({error.strerror}); set MASTER_TOKEN, alike on all machines.") from None
    if not made:
        return token, ""
    return token, (
        f"Made {path}, the token by which the machines of a run know each other. If they do not share this disk, type "
        f"on each of the others, once: scp {addr}:{path} {path}"
    )


def stretch(token: bytes) -> bytes:
    """The secret that seals lines: a tenth of a second and 32 MiB for each token that an eavesdropper tries out."""
    return hashlib.scrypt(token, salt=b"meeting", n=1 << 15, r=8, p=1, maxmem=1 << 26)


def _make(path: Path) -> bool:
    """A file that is whole from its first moment, and that nobody else can read; False if another was quicker."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return False
    sync(path.parent)
    return True


def _read(path: Path, wait: float) -> bytes:
    end = time.monotonic() + wait
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.2)
    # Without waiting for a writer, if it is a pipe.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise UserError(f"{path} is a secret that others can read; type: chmod 600 {path}")
        text = (file.read(_LONGEST + 2) or b"").decode(errors="replace")
    return _checked(text.strip(), str(path))


def _checked(text: str, source: str) -> bytes:
    if not (_SHORTEST <= len(text) <= _LONGEST and set(text) <= _LETTERS):
        raise UserError(
            f"{source} is no token: it needs {_SHORTEST} to {_LONGEST} letters, digits and signs, without spaces; "
            "node 0 makes a good one itself if MASTER_TOKEN is not set and the file is not there."
        )
    return text.encode()
