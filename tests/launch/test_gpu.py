import ctypes
import uuid

import pytest

from launch import gpu
from launch.gpu import Card, usable_cards

A100, H100, L4 = "GPU-aaaa-1, NVIDIA A100, 8.0", "GPU-bbbb-2, NVIDIA H100 80GB HBM3, 9.0", "GPU-cccc-3, NVIDIA L4, 8.9"


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Puts an nvidia-smi first on PATH that prints the given lines and exits with the given status."""

    def put(*lines, status=0):
        program = tmp_path / "nvidia-smi"
        program.write_text(
            "#!/bin/sh\ncat <<'EOF'\n" + "".join(f"{line}\n" for line in lines) + f"EOF\nexit {status}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


class FakeDriver:
    """libcuda.so.1 with the given (name, major, minor) cards."""

    def __init__(self, *cards, init=0):
        self.cards, self.init = cards, init

    def cuInit(self, flags):
        return self.init

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.cards)
        return 0

    def cuDeviceGet(self, device, index):
        device._obj.value = index

    def cuDeviceGetName(self, name, length, device):
        name.value = self.cards[device.value][0].encode()

    def cuDeviceGetUuid(self, card_uuid, device):
        ctypes.memmove(card_uuid, uuid.UUID(int=device.value).bytes, 16)

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = self.cards[device.value][{75: 1, 76: 2}[attribute]]


@pytest.fixture
def driver(monkeypatch):
    def put(*cards, **kwargs):
        monkeypatch.setattr(gpu, "_load_driver", lambda: FakeDriver(*cards, **kwargs))

    return put


def names(cards):
    return [card.name for card in cards]


@pytest.mark.parametrize("capability", [(6, 0), (6, 1), (6, 2), (7, 0), (7, 2), (7, 5), (8, 0), (8, 6), (8, 7), (8, 9)])
def test_cards_with_kernels_are_usable(capability):
    assert Card("GPU-1", "card", capability).usable


@pytest.mark.parametrize("capability", [(3, 5), (5, 2), (9, 0), (10, 0), (12, 0)])
def test_cards_without_kernels_are_refused(capability):
    assert not Card("GPU-1", "card", capability).usable


def test_nvidia_smi_is_asked_and_a_refused_card_is_named(smi):
    smi(A100, H100, L4)
    usable, refused = usable_cards()
    assert names(usable) == ["NVIDIA A100", "NVIDIA L4"]
    (card,) = refused
    assert card.refusal == (
        "NVIDIA H100 80GB HBM3 (compute capability 9.0) is left out: OneFlow 0.9.0 has kernels for compute capability "
        "6.0 to 8.x only; use device=cpu, or an older card."
    )


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [
        (None, ["NVIDIA A100", "NVIDIA L4"]),
        ("", []),
        ("-1", []),
        ("1", ["NVIDIA L4"]),
        ("1,0", ["NVIDIA L4", "NVIDIA A100"]),
        (" 0 , 1 ", ["NVIDIA A100", "NVIDIA L4"]),
        ("0,7,1", ["NVIDIA A100"]),
        ("GPU-cccc", ["NVIDIA L4"]),
        ("NoDevFiles", []),
    ],
)
def test_visible_devices(smi, visible, chosen):
    smi(A100, L4)
    assert names(usable_cards(visible)[0]) == chosen


def test_an_old_nvidia_smi_leaves_the_question_to_the_driver(smi, driver):
    smi('Field "compute_cap" is not a valid field to query.', status=2)
    driver(("Tesla P100", 6, 0), ("Tesla K80", 3, 7))
    usable, refused = usable_cards()
    assert usable == [Card(f"GPU-{uuid.UUID(int=0)}", "Tesla P100", (6, 0))]
    assert names(refused) == ["Tesla K80"]


@pytest.mark.parametrize("line", ["GPU-1, Some card, [N/A]", "No devices were found"])
def test_an_answer_without_a_capability_leaves_the_question_to_the_driver(smi, driver, line):
    smi(line)
    driver(("Tesla T4", 7, 5))
    assert names(usable_cards()[0]) == ["Tesla T4"]


def test_no_driver_means_no_cards(smi, monkeypatch):
    def missing():
        raise OSError("libcuda.so.1: cannot open shared object file")

    smi(status=9)
    monkeypatch.setattr(gpu, "_load_driver", missing)
    assert usable_cards() == ([], [])


def test_a_driver_that_does_not_start_means_no_cards(smi, driver):
    smi(status=9)
    driver(("Tesla T4", 7, 5), init=100)
    assert usable_cards() == ([], [])
