"""Which cards this OneFlow can use, asked of the NVIDIA driver without importing OneFlow.

The wheel of OneFlow 0.9.0 holds compiled kernels and no PTX, so a card runs them only if its compute capability has
the major number of one of them and at least its minor number: 8.6's run on an 8.9 card, nothing runs on a 9.0 one.
"""

import ctypes
import subprocess
import uuid
from dataclasses import dataclass

KERNELS = ((6, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6))

# From cuda.h.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76


@dataclass(frozen=True)
class Card:
    uuid: str  # as CUDA_VISIBLE_DEVICES takes it
    name: str
    capability: tuple[int, int]

    @property
    def usable(self) -> bool:
        return any(self.capability[0] == major and self.capability[1] >= minor for major, minor in KERNELS)

    @property
    def refusal(self) -> str:
        """What a user with this card reads."""
        major, minor = self.capability
        return (
            f"{self.name} (compute capability {major}.{minor}) is left out: OneFlow 0.9.0 has kernels for compute "
            "capability 6.0 to 8.x only; use device=cpu, or an older card."
        )


def usable_cards(visible: str | None = None) -> tuple[list[Card], list[Card]]:
    """The visible cards that OneFlow has kernels for, and those it has none for.

    visible: the value of CUDA_VISIBLE_DEVICES (None: not set, all cards). Numbers count as nvidia-smi does.
    """
    cards = _ask_nvidia_smi()
    # The driver reads CUDA_VISIBLE_DEVICES itself, so its answer is already the choice.
    cards = _ask_driver() if cards is None else _choose(cards, visible)
    return [card for card in cards if card.usable], [card for card in cards if not card.usable]


def _ask_nvidia_smi() -> list[Card] | None:
    """All cards, or None where nvidia-smi is missing, fails, or is too old to know compute capabilities."""
    command = ["nvidia-smi", "--query-gpu=uuid,name,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        cards = []
        for line in answer.splitlines():
            card_uuid, name, capability = line.split(", ")
            major, minor = capability.split(".")
            cards.append(Card(card_uuid, name, (int(major), int(minor))))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return cards


def _choose(cards: list[Card], visible: str | None) -> list[Card]:
    """As CUDA does: numbers or the beginnings of UUIDs; the first that is no card ends the list."""
    if visible is None:
        return cards
    chosen = []
    for item in visible.split(","):
        item = item.strip()
        if item.isdigit():
            matches = cards[int(item) : int(item) + 1]
        else:
            matches = [card for card in cards if item.startswith("GPU-") and card.uuid.startswith(item)]
        if len(matches) != 1:
            break
        chosen += matches
    return chosen


def _ask_driver() -> list[Card]:
    """The cards CUDA would show this process; none where there is no driver."""
    try:
        cuda = _load_driver()
    except OSError:
        return []
    count = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    return [_ask_device(cuda, index) for index in range(count.value)]


def _load_driver() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")


def _ask_device(cuda: ctypes.CDLL, index: int) -> Card:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, card_uuid = ctypes.create_string_buffer(256), ctypes.create_string_buffer(16)
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceGetUuid(card_uuid, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device)
    return Card(f"GPU-{uuid.UUID(bytes=card_uuid.raw)}", name.value.decode(), (major.value, minor.value))
