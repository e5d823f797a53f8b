"""What `manage.py check` finds wrong with this installation, each with an id (docs/troubleshooting.md)."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db import connections

CHECKS = MappingProxyType(
    {
        "dpl.W001": "DPL_DEBUG is on: errors show code and settings to whoever meets them.",
        "dpl.W002": "DPL_HTTPS is on while DPL_ALLOWED_HOSTS accepts every host name.",
        "dpl.W003": "The SQLite database lies on a network file system, whose locks cannot be trusted.",
        "dpl.W004": "DPL_CORS_ORIGINS is '*': any web page may use a key that it got hold of.",
        "dpl.W005": "The data folder can be read by other users of this machine.",
        "dpl.W006": "Less disk space is free than DPL_MIN_FREE_DISK_MB asks for.",
        "dpl.W007": "DPL_TRUSTED_PROXIES is '*': any client may claim any address.",
        "dpl.W008": "What the pages need from npm is not installed: they look bare, and charts are missing.",
        "dpl.E001": "A file of secrets can be read by other users of this machine.",
    }
)
"""Every check by its id, and what it finds."""

_HINTS = MappingProxyType(
    {
        "dpl.W001": "Remove DPL_DEBUG, except on a developer's own machine.",
        "dpl.W002": "List the names under which people reach this site in DPL_ALLOWED_HOSTS.",
        "dpl.W003": "Set DPL_DATA_DIR to a local disk, or DATABASE_URL to a PostgreSQL server.",
        "dpl.W004": "List the origins that need it in DPL_CORS_ORIGINS.",
        "dpl.W006": "Free some space, or lower DPL_MIN_FREE_DISK_MB; uploads are refused meanwhile.",
        "dpl.W008": "Run make setup.",
        "dpl.W007": "List the addresses of your proxies in DPL_TRUSTED_PROXIES.",
    }
)

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "9p", "davfs"}
) | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"}


def register() -> None:
    """Add the checks to Django's."""
    for check in OURS:
        checks.register(check)


def check_exposure(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Settings that let in more than is meant."""
    found = {
        "dpl.W001": settings.DEBUG,
        "dpl.W002": settings.DPL_HTTPS and "*" in settings.ALLOWED_HOSTS,
        "dpl.W004": "*" in settings.DPL_CORS_ORIGINS,
        "dpl.W007": "*" in settings.DPL_TRUSTED_PROXIES,
    }
    return [_message(check) for check, is_wrong in found.items() if is_wrong]


def check_secrets(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Secrets that lie open for other users of the machine."""
    if os.name != "posix":
        return []
    found = [
        _message("dpl.E001", about=str(file), hint=f"chmod 600 {file}")
        for file in (settings.DPL_CREDENTIALS_KEY_FILE, settings.DPL_DATA_DIR / "secret_key")
        if _is_open(file)
    ]
    folder = settings.DPL_DATA_DIR
    if _is_open(folder):
        found.append(_message("dpl.W005", about=str(folder), hint=f"chmod 700 {folder}"))
    return found


def check_storage(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Where the data lie, and whether there is room."""
    found = []
    for database in connections.all():
        if database.vendor == "sqlite":
            name = str(database.settings_dict["NAME"])
            kind = file_system_of(Path(name))
            if kind in NETWORK_FILE_SYSTEMS:
                found.append(_message("dpl.W003", about=f"{name} ({kind})"))
    free_mb = shutil.disk_usage(settings.DPL_DATA_DIR).free // 2**20
    if free_mb < settings.DPL_MIN_FREE_DISK_MB:
        found.append(_message("dpl.W006", about=f"{free_mb} MB in {settings.DPL_DATA_DIR}"))
    return found


def check_pages(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """What is laid out beside the interpreter at set-up."""
    place = settings.PAGES_PACKAGES
    return [] if (place / "vendor" / "tabler.css").exists() else [_message("dpl.W008", about=str(place))]


OURS = (check_exposure, check_secrets, check_storage, check_pages)


def file_system_of(path: Path, mounts: Sequence[tuple[str, str]] | None = None) -> str:
    """The kind of file system that a path lies on, as the machine names it; empty when it does not tell.

    `mounts` are (mount point, kind) pairs, by default this machine's.
    """
    resolved = path.resolve()
    best, kind = "", ""
    for point, named in _mounts() if mounts is None else mounts:
        if resolved.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, named
    return kind.lower()


def _mounts() -> Iterator[tuple[str, str]]:
    try:
        for partition in psutil.disk_partitions(all=True):
            yield partition.mountpoint, partition.fstype
    except OSError:
        return  # no mount table to read, as in some sandboxes: then nothing is known, and nothing is said


def _is_open(path: Path) -> bool:
    """Whether others than the owner and root may read it."""
    try:
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except FileNotFoundError:
        return False


def _message(check: str, *, about: str = "", hint: str = "") -> checks.CheckMessage:
    kind = checks.Error if check.startswith("dpl.E") else checks.Warning
    text = f"{CHECKS[check]} ({about})" if about else CHECKS[check]
    return kind(text, hint=hint or _HINTS[check], id=check)
