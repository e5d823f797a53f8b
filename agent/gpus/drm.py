"""Graphics cards as Linux lists them under /sys/class/drm, and the processes that hold their memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.gpus.sysfs import SYS, word

PROC = Path("/proc")
NVIDIA, AMD, INTEL = "0x10de", "0x1002", "0x8086"
MOST_CARDS = 64
_KIB = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# How the drivers call memory on the card itself, newest spelling first; each holds all of the ones after it.
_ON_CARD = re.compile(r"drm-(resident|memory|total)-(?:vram\d*|local\d*):\s*(\d{1,19})\s*(KiB|MiB|GiB|)\s*$")
_MOST_DESCRIPTORS = 4096
_IDS = ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids")


@dataclass(frozen=True)
class Card:
    """One card: its folder in /sys/class/drm, its place on the bus, and what it is."""

    folder: Path
    slot: str
    vendor: str
    model: str
    driver: str

    @property
    def device(self) -> Path:
        """The folder of the device behind the card."""
        return self.folder / "device"

    @property
    def is_suspended(self) -> bool:
        """Whether the card sleeps to save power."""
        return word(self.device / "power/runtime_status") == "suspended"


def cards(root: Path = SYS) -> list[Card]:
    """Every card with a place on the bus, in the kernel's order; outputs of cards (card0-DP-1) are none."""
    folders = [path for path in (root / "class/drm").glob("card*") if path.name[4:].isdecimal()]
    found = [_card(path) for path in sorted(folders, key=lambda path: int(path.name[4:]))[:MOST_CARDS]]
    return [card for card in found if card is not None]


def _card(folder: Path) -> Card | None:
    told = dict(
        line.split("=", 1) for line in (word(folder / "device/uevent") or "").splitlines() if "=" in line
    )
    vendor, _, model = told.get("PCI_ID", "").lower().partition(":")
    slot = told.get("PCI_SLOT_NAME", "")
    if not vendor or not slot:
        return None
    return Card(folder, slot, f"0x{vendor}", model, told.get("DRIVER", ""))


def model_name(card: Card, files: tuple[str, ...] = _IDS) -> str | None:
    """The card's name in the system's list of PCI devices, None where there is no list or it is not in it."""
    for name in files:
        try:
            with open(name, encoding="utf-8", errors="replace") as lines:
                found = _name_in(lines, card.vendor[2:], card.model)
        except OSError:
            continue
        if found is not None:
            return found
    return None


def _name_in(lines: Iterator[str], vendor: str, model: str) -> str | None:
    is_vendor = False
    for line in lines:
        if line[:1] in "#\n":
            continue
        if not line.startswith("\t"):
            is_vendor = line[:4] == vendor
        elif is_vendor and line[1:5] == model and line[1] != "\t":
            return line[5:].strip()[:100]
    return None


def holders(slots: set[str], proc: Path = PROC) -> dict[str, dict[int, int]]:
    """Which processes hold memory of these cards: slot → pid → bytes. Only those that this user may look at.

    A process may have opened a card several times over; the driver tells these clients apart by a number.
    """
    found: dict[str, dict[int, int]] = {slot: {} for slot in slots}
    seen: set[tuple[str, str]] = set()
    for pid in _pids(proc):
        for text in _card_descriptors(proc / str(pid)):
            slot, client = _field(text, "drm-pdev"), _field(text, "drm-client-id")
            if slot not in found or (slot, client) in seen:
                continue
            seen.add((slot, client))
            found[slot][pid] = found[slot].get(pid, 0) + memory_on_card(text)
    return {slot: {pid: held for pid, held in of.items() if held} for slot, of in found.items()}


def memory_on_card(fdinfo: str) -> int:
    """The bytes of the card's own memory in one descriptor's text."""
    sums: dict[str, int] = {}
    for line in fdinfo.splitlines():
        match = _ON_CARD.match(line)
        if match is not None:
            sums[match[1]] = sums.get(match[1], 0) + int(match[2]) * _KIB[match[3]]
    return next((sums[kind] for kind in ("resident", "memory", "total") if kind in sums), 0)


def _pids(proc: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(proc) if name.isdecimal())
    except OSError:
        return []


def _card_descriptors(process: Path) -> Iterator[str]:
    try:
        names = os.listdir(process / "fd")[:_MOST_DESCRIPTORS]
    except OSError:
        return
    for name in names:
        try:
            if os.readlink(process / "fd" / name).startswith("/dev/dri/"):
                yield word(process / "fdinfo" / name) or ""
        except OSError:
            continue


def _field(text: str, name: str) -> str:
    match = re.search(rf"^{name}:\s*(\S+)", text, re.M)
    return match[1] if match is not None else ""
