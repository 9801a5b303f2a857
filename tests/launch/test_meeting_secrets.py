"""A meeting is only for those who have the token, which nobody learns by listening."""

import socket
import threading
from contextlib import suppress

import pytest

from launch.meeting import gather, join
from launch.wire import Wire, WrongSealError
from tests.launch.meetings import (
    FIRST,
    HERE,
    OTHER_TOKEN,
    SECOND,
    TOKEN,
    connected,
    enter,
    meet,
    until,
)
from utils.errors import UserError

pytestmark = pytest.mark.timeout(60)


def test_a_launcher_with_another_token_is_refused_in_a_sentence_and_the_pair_meets(pool, port, capsys):
    first = pool.submit(gather, FIRST, port, TOKEN)
    for _ in range(3):
        with pytest.raises(UserError, match=rf"^Node 0 \({HERE}:{port}\) has another token than this machine: "):
            join(SECOND, HERE, port, OTHER_TOKEN)
    join(SECOND, HERE, port, TOKEN)
    first.result(timeout=10)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Waiting for node")]
    assert lines == [f"{HERE} has another token and was not let in; node 0 goes on waiting."]


def test_node_0_answers_a_wrong_seal_with_nothing_that_depends_on_the_token(pool, port):
    """Or a stranger could try out tokens at home."""
    said, first = [], pool.submit(gather, FIRST, port, TOKEN)
    for _ in range(2):
        with connected(port) as link:
            link.sendall(b'{"number": "%s"}\n%s{}\n' % (b"0" * 64, b"0" * 64))
            said.append(b"".join(iter(lambda link=link: link.recv(4096), b"")).splitlines())
    join(SECOND, HERE, port, TOKEN)
    first.result(timeout=10)
    assert len(said[0]) == 2 and said[0][1] == said[1][1]


def test_a_seal_by_the_token_itself_is_a_wrong_one(pool, port):
    """It takes long to make one, so that tokens cannot be tried out fast."""
    first = pool.submit(gather, FIRST, port, TOKEN)
    with pytest.raises(WrongSealError):
        enter(port, {"node": 1, "nnodes": 2, "nproc": 1}, secret=TOKEN)
    join(SECOND, HERE, port, TOKEN)
    first.result(timeout=10)


@pytest.mark.parametrize("said", [
    b"SSH-2.0-OpenSSH\r\n", b"[" * 4000 + b"\n", b'{"number": 1}\n', b"x" * 10_000,
    b'{"number": "%s"}\n' % (b"0" * 64) + b"x" * 10_000, b'{"number": "%s"}\n{"welcome": true}\n' % (b"0" * 64),
])  # fmt: skip
def test_who_answers_in_the_place_of_node_0_is_found_out(pool, said):
    with socket.create_server((HERE, 0)) as listener:
        answer = pool.submit(lambda: answered(listener, said))
        with pytest.raises(UserError, match=r"check MASTER_ADDR and MASTER_PORT|has another token") as error:
            join(SECOND, HERE, listener.getsockname()[1], TOKEN)
        answer.result().close()
    assert "\n" not in str(error.value)


def answered(listener, said):
    link, _ = listener.accept()
    link.sendall(said)
    return link


@pytest.mark.parametrize("text", [b"x" * 300_000, b"x\n", b"[" * 100_000 + b"\n", b'{"node": 1, "ended": true}\n'])
def test_lines_without_a_seal_end_the_connection(pool, port, text):
    first = pool.submit(gather, FIRST, port, TOKEN)
    wire, _ = enter(port, {"node": 1, "nnodes": 2, "nproc": 1})
    nodes = first.result(timeout=10)[0]
    sender = threading.Thread(target=lambda: send_all(wire, text), daemon=True)
    sender.start()
    until(nodes.failures)
    sender.join(timeout=10)
    assert nodes.failures()[0].sentence.startswith(f"nothing is heard from {HERE} any more (")


def send_all(wire, text):
    with suppress(OSError):  # it was closed in the midst
        wire._link.sendall(text)


def test_lines_that_were_sent_cannot_be_sent_again(pool, port):
    """Nor left out: each is sealed with its place."""
    nodes, others = meet(pool, port)
    link = others._wires[0]._link
    sent = []
    others._wires[0]._link = type("Recorder", (), {"sendall": lambda self, data: sent.append(data)})()
    others.tell_failure(3, "once")
    link.sendall(sent[0] * 2)
    until(lambda: len(nodes.failures()) > 1)
    assert [one.sentence for one in nodes.failures()] == [
        "once",
        f"nothing is heard from {HERE} any more (another token)",
    ]


def overheard(pool, port):
    """All that a pair says while it meets: (who, bytes)."""
    heard = []
    with socket.create_server((HERE, 0)) as listener:
        pool.submit(pass_on, listener, port, heard)
        first = pool.submit(gather, FIRST, port, TOKEN)
        join(SECOND, HERE, listener.getsockname()[1], TOKEN)
        first.result(timeout=10)
    return heard


def test_the_token_never_goes_over_the_network(pool, port):
    """Through one who listens on the way, and who knows all that is said."""
    heard = overheard(pool, port)
    said = b"".join(text for _, text in heard)
    assert b"nproc" in said and b"rank_port" in said
    assert TOKEN not in said


def pass_on(listener, port, heard):
    near, far = listener.accept()[0], connected(port)

    def copy(who, source, target):
        while data := source.recv(4096):
            heard.append((who, data))
            target.sendall(data)

    threading.Thread(target=copy, args=("node 0", far, near), daemon=True).start()
    copy("node 1", near, far)


def test_who_heard_a_meeting_cannot_stand_in_for_node_0(pool, port):
    """What node 0 said once, said again to a launcher that comes later."""
    heard = overheard(pool, port)
    said = b"".join(text for who, text in heard if who == "node 0")
    assert b"welcome" in said and b"rank_port" in said
    with socket.create_server((HERE, 0)) as listener:
        answer = pool.submit(answered, listener, said)
        with pytest.raises(UserError, match="has another token"):
            join(SECOND, HERE, listener.getsockname()[1], TOKEN)
        answer.result().close()


def test_a_line_is_not_taken_by_the_side_that_sent_it():
    """Who sends lines back to whom they came from is not taken for the other."""
    with socket.create_server((HERE, 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far = listener.accept()[0]
    wire = Wire(near, HERE, first=True)
    wire.seal(TOKEN, {"number": "0" * 64})
    wire.send({"node": 1})
    far.sendall(far.recv(4096))
    with pytest.raises(WrongSealError):
        wire.wait(5)
    far.close()
    wire.close()
