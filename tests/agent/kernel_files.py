"""A kernel's files of our own making: cards, their sensors, their clients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def lay(root: Path, files: Mapping[str, object]) -> None:
    """Write these files under a folder: path → text."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else f"{text}\n".encode())


def card(root: Path, number: int, driver: str, pci_id: str, slot: str, files: Mapping[str, object]) -> None:
    """A card of a driver at a place on the bus, with these files in its device's folder."""
    uevent = f"DRIVER={driver}\nPCI_CLASS=30000\nPCI_ID={pci_id}\nPCI_SLOT_NAME={slot}"
    folder = f"class/drm/card{number}"
    lay(root, {f"{folder}/device/uevent": uevent, **{f"{folder}/{name}": v for name, v in files.items()}})
    lay(root, {f"class/drm/card{number}-DP-1/status": "connected"})


def client(proc: Path, pid: int, descriptor: int, text: str, target: str = "/dev/dri/renderD128") -> None:
    """A process' open descriptor of a card, with what the driver tells of it."""
    folder = proc / str(pid)
    lay(folder, {f"fdinfo/{descriptor}": text})
    (folder / "fd").mkdir(exist_ok=True)
    (folder / "fd" / str(descriptor)).symlink_to(target)
