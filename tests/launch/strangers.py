"""Whoever may come to the port at which the launchers of a run meet: `python strangers.py ADDRESS PORT NAME ...`.

Each acts until the process ends. Imports nothing of ours: they know no token.
"""

import json
import os
import socket
import sys
import threading
import time
from contextlib import suppress


def connect(place):
    return socket.create_connection(place, timeout=5)


def silent(place):
    """Connect and say nothing, twenty at a time."""
    keep([connect(place) for _ in range(20)])


def slow(place):
    """Twenty that send a byte of a hello now and then."""
    links = [connect(place) for _ in range(20)]
    for byte in json.dumps({"number": "0" * 64}).encode() * 1000:
        for number, link in enumerate(links):
            try:
                link.sendall(bytes([byte]))
            except OSError:
                links[number] = connect(place)
        time.sleep(0.05)


def crowd(place):
    """More than may be connected at once, who stay, and come again when they are put out."""
    links = []
    while True:
        links.append(connect(place))
        if len(links) > 400:
            links.pop(0).close()


def flood(place):
    """As many connections as two threads can open and close."""
    for _ in range(2):
        threading.Thread(target=lambda: [connect(place).close() for _ in range(10**9)], daemon=True).start()
    time.sleep(1000)


def garbage(place):
    said = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\n" * 4000,
        b'{"a":' * 200_000 + b"\n",
        b"[" * 4000 + b"\n",
        b'{"number": ' + b"9" * 4000 + b"}\n",
        b'{"number": "' + b"\xff" * 64 + b'"}\n',
        b'{"number": null}\n',
        b'{"number": ["%s"]}\n' % (b"0" * 64),
        b"x" * 100_000_000,
        *(os.urandom(1000) + b"\n" for _ in range(20)),
    ]
    for text in said * 10**6:
        with suppress(OSError), connect(place) as link:
            link.settimeout(0.2)
            link.sendall(text)
            link.recv(4096)


def without_token(place):
    """Say who they are without a proof: as launchers once did, after a number, and under a seal of their own."""
    hello = json.dumps({"node": 1, "nnodes": 2, "nproc": 1}).encode() + b"\n"
    number = json.dumps({"number": "0" * 64}).encode() + b"\n"
    for text in (hello, number + hello, number + b"0" * 64 + hello) * 10**6:
        with suppress(OSError), connect(place) as link:
            link.sendall(text)
            link.recv(4096)
            time.sleep(0.1)


def mirror(place):
    """Send back whatever comes, as one would who lets node 0 prove itself to itself."""
    while True:
        with suppress(OSError), connect(place) as link:
            while said := link.recv(4096):
                link.sendall(said)


def keep(links):
    while True:
        time.sleep(1000)


ALL = {one.__name__: one for one in (silent, slow, crowd, flood, garbage, without_token, mirror)}


def act(name, place):
    while True:  # while nobody listens yet
        with suppress(OSError):
            ALL[name](place)
        time.sleep(0.05)


if __name__ == "__main__":
    for name in sys.argv[3:]:
        threading.Thread(target=act, args=(name, (sys.argv[1], int(sys.argv[2]))), daemon=True).start()
    time.sleep(1000)
