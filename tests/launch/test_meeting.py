"""Launchers find each other at their port, whoever else is there."""

import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from launch.meeting import gather, join
from launch.nodes import NodeSpec
from launch.rendezvous import free_port
from launch.token import stretch
from launch.wire import Wire, WrongSealError
from tests.launch.strangers import ALL
from tests.nodes import PORT, two_nodes
from tests.ranks import ROOT
from utils.errors import UserError

STRANGERS = Path(__file__).with_name("strangers.py")
TOKEN, OTHER_TOKEN = b"the-token-of-tests", b"another-token-of-tests"
FIRST, SECOND = NodeSpec(0, 2, 1), NodeSpec(1, 2, 1)
HERE = "127.0.0.1"

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def strangers(port):
    """Starts strangers who come to the port, and keep coming until the test ends."""
    started = []

    def start(*names):
        started.append(subprocess.Popen([sys.executable, STRANGERS, HERE, str(port), *names]))

    yield start
    for process in started:
        process.kill()
        process.wait()


def meet(pool, port, first=FIRST, second=SECOND, token=TOKEN):
    """Both ends, once they have met."""
    ends = pool.submit(gather, first, port, token), pool.submit(join, second, HERE, port, token)
    (nodes, rank_port), (others, other_port) = (end.result(timeout=50) for end in ends)
    assert other_port == rank_port
    return nodes, others


def enter(port, message, secret=None):
    """The connection of one who has the token, or another secret, and says `message`, and what node 0 answers."""
    wire = Wire(connected(port), HERE, first=False)
    wire.say_number()
    wire.seal(secret or stretch(TOKEN), wire.wait(5))
    wire.send(message)
    return wire, wire.wait(5)


def connected(port):
    end = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection((HERE, port), timeout=5)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.02)


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("name", ALL)
def test_a_pair_meets_whoever_else_is_at_the_port(pool, port, strangers, name):
    strangers(name)
    first = pool.submit(gather, FIRST, port, TOKEN)
    connected(port).close()
    time.sleep(1.5)  # the strangers are there
    assert not first.done()
    rank_port = join(SECOND, HERE, port, TOKEN)[1]
    assert first.result(timeout=30)[1] == rank_port


def test_a_launcher_with_another_token_is_refused_in_a_sentence_and_the_pair_meets(pool, port, capsys):
    first = pool.submit(gather, FIRST, port, TOKEN)
    for _ in range(3):
        with pytest.raises(UserError, match=rf"^Node 0 \({HERE}:{port}\) has another token than this machine: "):
            join(SECOND, HERE, port, OTHER_TOKEN)
    join(SECOND, HERE, port, TOKEN)
    first.result(timeout=10)
    assert capsys.readouterr().err == f"{HERE} has another token and was not let in; node 0 goes on waiting.\n"


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


def test_of_two_with_the_same_number_the_first_is_told(pool, port):
    first = pool.submit(gather, NodeSpec(0, 3, 1), port, TOKEN)
    early = pool.submit(join, NodeSpec(1, 3, 1), HERE, port, TOKEN)
    time.sleep(1)
    late = pool.submit(join, NodeSpec(1, 3, 1), HERE, port, TOKEN)
    with pytest.raises(UserError, match=rf"^Another launcher \({HERE}\) has connected as NODE_RANK=1: give each"):
        early.result(timeout=10)
    join(NodeSpec(2, 3, 1), HERE, port, TOKEN)
    assert late.result(timeout=10)[1] == first.result(timeout=10)[1]


def test_a_launcher_that_ended_before_all_were_there_has_no_seat(pool, port):
    first = pool.submit(gather, NodeSpec(0, 3, 1), port, TOKEN)
    wire, answer = enter(port, {"node": 1, "nnodes": 3, "nproc": 1})
    assert answer == {"welcome": True}
    wire.close()
    join_2 = pool.submit(join, NodeSpec(2, 3, 1), HERE, port, TOKEN)
    time.sleep(0.5)
    assert not first.done()
    join(NodeSpec(1, 3, 1), HERE, port, TOKEN)
    assert join_2.result(timeout=10)[1] == first.result(timeout=10)[1]


@pytest.mark.parametrize("message", [
    {}, {"node": "1", "nnodes": 2, "nproc": 1}, {"node": True, "nnodes": 2, "nproc": 1},
    {"node": 0, "nnodes": 2, "nproc": 1}, {"node": -1, "nnodes": 2, "nproc": 1},
    {"node": 1.5, "nnodes": 2, "nproc": 1}, {"node": [1], "nnodes": 2, "nproc": 1},
    {"node": 1, "nnodes": 2}, {"node": 1, "nnodes": None, "nproc": 1},
])  # fmt: skip
def test_fields_of_other_types_are_refused_though_the_token_is_right(pool, port, message):
    first = pool.submit(gather, FIRST, port, TOKEN)
    with pytest.raises((EOFError, OSError)):
        enter(port, message)
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


@pytest.mark.parametrize(("status", "kept"), [
    (1_000_000_000, 255), (0, 1), (-9, 1), (256, 255), (10**4000, 255), (7, 7),
])  # fmt: skip
def test_statuses_are_those_that_a_process_can_end_with_and_never_0(pool, port, status, kept):
    nodes, others = meet(pool, port)
    others._wires[0].send({"node": 1, "status": status, "failed": "its \x1b[2Jend"})
    until(nodes.failures)
    assert [(one.who, one.status, one.sentence) for one in nodes.failures()] == [("node 1", kept, "its ?[2Jend")]
    assert nodes.running()
    others.tell_end()
    until(lambda: not nodes.running())


@pytest.mark.parametrize("message", [
    {"node": 1, "status": "1", "failed": "x"}, {"node": 1, "status": 1, "failed": ["x"]},
    {"node": 2, "ended": True}, {"node": 0, "ended": True}, {"node": 1, "ended": 1}, {"node": "1", "ended": True}, {},
])  # fmt: skip
def test_a_node_that_says_what_no_launcher_says_has_failed(pool, port, message):
    first = pool.submit(gather, FIRST, port, TOKEN)
    wire, _ = enter(port, {"node": 1, "nnodes": 2, "nproc": 1})
    nodes = first.result(timeout=10)[0]
    wire.send(message)
    until(nodes.failures)
    assert not nodes.running()
    (failure,) = nodes.failures()
    assert (failure.who, failure.status) == ("node 1", 1)
    assert failure.sentence == f"nothing is heard from {HERE} any more (it says what no launcher says)"


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


@pytest.mark.timeout(280)  # strangers take the cores too
def test_two_machines_meet_with_all_strangers_at_the_port(tmp_path):
    """The launchers themselves, with strangers on both machines and one who has another token."""
    script = tmp_path / "rank.py"
    script.write_text("print('here')")
    with two_nodes() as nodes:
        attack = f"import runpy, sys\nsys.argv = ['', '10.0.0.1', '{PORT}', *{list(ALL)}]\n"
        (tmp_path / "attack.py").write_text(f"{attack}runpy.run_path({str(STRANGERS)!r}, run_name='__main__')")
        for node in (0, 1):
            nodes.keep_running(node, str(tmp_path / "attack.py"))
        first = nodes.launch(0, str(script))
        time.sleep(2)
        wrong = nodes.launch(1, str(script), MASTER_TOKEN="not-the-token-of-node-0")
        refusal = wrong.communicate(timeout=80)[0]
        second = nodes.launch(1, str(script))
        said, heard = (process.communicate(timeout=80)[0] for process in (first, second))
    assert (wrong.returncode, first.returncode, second.returncode) == (2, 0, 0)
    assert refusal.startswith("error: Node 0 (10.0.0.1:29500) has another token than this machine: ")
    assert refusal.count("\n") == 1
    assert said.endswith("here\n") and "Traceback" not in said and heard.endswith("here\n")


def closed(link):
    """Whether the other end closes the connection, whatever it says before."""
    link.settimeout(10)
    with suppress(ConnectionResetError):
        while link.recv(4096):
            pass
    return True


def test_who_takes_long_for_a_hello_is_put_out(pool, port, monkeypatch):
    monkeypatch.setattr("launch.meeting._HELLO", 0.5)
    first = pool.submit(gather, FIRST, port, TOKEN)
    quiet, slow = connected(port), connected(port)
    ended = pool.submit(closed, slow)
    for byte in b'{"number": "' + b"0" * 40:
        if ended.done():
            break
        with suppress(OSError):
            slow.sendall(bytes([byte]))
        time.sleep(0.1)
    assert ended.done() and closed(quiet)
    join(SECOND, HERE, port, TOKEN)
    first.result(timeout=10)


def test_a_crowd_puts_out_only_its_own(pool, port, monkeypatch):
    monkeypatch.setattr("launch.meeting._GUESTS", 8)
    first = pool.submit(gather, FIRST, port, TOKEN)
    connected(port).close()
    other = socket.create_connection((HERE, port), source_address=("127.0.0.3", 0))
    crowd = [socket.create_connection((HERE, port), source_address=("127.0.0.2", 0)) for _ in range(30)]
    assert all(closed(link) for link in crowd[:20])
    assert len(other.recv(4096)) > 64  # node 0's number ...
    other.settimeout(0.2)
    with pytest.raises(TimeoutError):  # ... and it is still there
        other.recv(1)
    join(SECOND, HERE, port, TOKEN)
    first.result(timeout=10)


def test_few_open_files_are_enough(port):
    """Node 0 with hardly more than Python itself needs, and strangers who take all of them."""
    script = (
        "import resource, sys\nfrom launch.meeting import gather\nfrom launch.nodes import NodeSpec\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))\n"
        f"gather(NodeSpec(0, 2, 1), {port}, {TOKEN!r})\n"
    )
    first = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    crowd = [connected(port) for _ in range(60)]
    join(SECOND, HERE, port, TOKEN)
    assert first.communicate(timeout=30)[1] == "" and first.returncode == 0
    assert len(crowd) == 60


def test_what_comes_with_the_last_line_of_the_meeting_is_heard(pool, port):
    """Of a node 0 that has ended before the other looks."""
    second = pool.submit(join, SECOND, HERE, port, TOKEN)
    nodes, _ = gather(FIRST, port, TOKEN)
    others = second.result(timeout=10)[0]
    wire = others._wires[0]
    nodes.tell_end()
    nodes._wires[1].close()
    time.sleep(0.3)
    wire.fill()  # as the meeting does, if both have come by then
    assert not others.running() and not others.failures()
