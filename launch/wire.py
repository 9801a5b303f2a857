"""A connection between two launchers: a JSON object a line, sealed with the token once both have said a number.

Each side sends a random number. From both and the stretched token follows a key, and every line after that carries an
HMAC of its place and its text under it: who knows no token can neither make, change, repeat nor leave out a line, and
the token itself is never sent. The lines are not encrypted.
"""

import hashlib
import hmac
import json
import re
import secrets
import select
import socket
import time

from utils.reading.json_file import parse_object

_PLAIN, _SEALED = 1 << 12, 1 << 17  # bytes of a line before and after the other has proved itself
_NUMBER = re.compile("[0-9a-f]{64}")
_SEAL = 64  # letters before a sealed line
# An idle connection is probed after 5 s and every 3 s then; it ends where nothing has come for 20 s.
_PROBES = {socket.TCP_KEEPIDLE: 5, socket.TCP_KEEPINTVL: 3, socket.TCP_KEEPCNT: 5, socket.TCP_USER_TIMEOUT: 20_000}


class WrongSealError(ValueError):
    """The other has another token, or none."""


class Wire:
    """One end of a connection.

    Args:
        address: of the other end, as it is shown.
        first: whether this is node 0's end.

    Raises OSError.
    """

    def __init__(self, link: socket.socket, address: str, first: bool) -> None:
        self.address = address
        self._link, self._side = link, b"first" if first else b"other"
        self._number = secrets.token_hex(32)
        self._key: bytes | None = None
        self._sent = self._seen = 0  # sealed lines
        self._unread, self._longest = b"", _PLAIN
        link.settimeout(None)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _PROBES.items():
            link.setsockopt(socket.IPPROTO_TCP, option, value)

    def fileno(self) -> int:
        return self._link.fileno()

    def close(self) -> None:
        self._link.close()

    def say_number(self) -> None:
        """Raises OSError."""
        self._link.sendall(json.dumps({"number": self._number}).encode() + b"\n")

    def seal(self, secret: bytes, message: dict) -> None:
        """From now on lines are sealed; message: what the other has said in `say_number`. Raises ValueError.

        secret: the token as `launch.token.stretch` gives it.
        """
        other = message.get("number")
        if not isinstance(other, str) or not _NUMBER.fullmatch(other):
            raise ValueError("its number is none")
        first, second = (self._number, other) if self._side == b"first" else (other, self._number)
        self._key = hmac.digest(secret, f"meeting {first} {second}".encode(), "sha256")

    def send(self, message: dict) -> None:
        """Raises OSError."""
        text = json.dumps(message).encode()
        seal = self._seal_of(text, self._side, self._sent)
        self._sent += 1
        self._link.sendall(seal + text + b"\n")

    def refuse_seal(self) -> None:
        """Answers a wrong seal. Without one, by which a stranger could try out tokens at home. Raises OSError."""
        self._link.sendall(b'{"refused": "its seal"}\n')

    def fill(self) -> bool:
        """Takes up some of what has come, without waiting; False if nothing has. Raises EOFError, OSError."""
        try:
            data = self._link.recv(self._longest, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        if not data:
            raise EOFError("it has closed the connection")
        self._unread += data
        return True

    def next(self) -> dict | None:
        """The next message of what has come; None until there is a whole one. Raises ValueError for what is none."""
        line, end, rest = self._unread.partition(b"\n")
        if len(line) > self._longest:
            raise ValueError("a line without end")
        if not end:
            return None
        self._unread = rest
        if self._key is None:
            return parse_object(line)
        side = b"other" if self._side == b"first" else b"first"
        if not hmac.compare_digest(line[:_SEAL], self._seal_of(line[_SEAL:], side, self._seen)):
            raise WrongSealError("another token")
        self._seen, self._longest = self._seen + 1, _SEALED
        return parse_object(line[_SEAL:])

    def wait(self, seconds: float | None) -> dict:
        """The next message, at the latest after so many seconds. Raises TimeoutError, EOFError, OSError, ValueError."""
        end = None if seconds is None else time.monotonic() + seconds
        watch = select.poll()
        watch.register(self, select.POLLIN)
        while (message := self.next()) is None:
            left = None if end is None else max(0.0, end - time.monotonic()) * 1000
            if not watch.poll(left):
                raise TimeoutError("it does not answer")
            self.fill()
        return message

    def _seal_of(self, text: bytes, side: bytes, place: int) -> bytes:
        assert self._key is not None, "a line is sealed before both have said a number"
        return hmac.new(self._key, b"%s %d %s" % (side, place, text), hashlib.sha256).hexdigest().encode()
