"""Whether there is room for an upload: by the size that is allowed, and by the disk."""

from __future__ import annotations

import shutil

from django.conf import settings
from django.db import connection

from dpl_site.lib.refusals import Refused

MIB = 1 << 20
COPIES = 3
"""How often an upload's bytes are on the disk at the worst: its parts, its items, the write-ahead log."""


def check_size(size: int) -> None:
    """Raise Refused (413) for an upload of more bytes than DPL_MAX_UPLOAD_MB."""
    if size > settings.DPL_MAX_UPLOAD_MB * MIB:
        message = (
            f"This upload is larger than {settings.DPL_MAX_UPLOAD_MB} MB, the most that is taken here. "
            "Send the file in parts, or raise DPL_MAX_UPLOAD_MB."
        )
        raise Refused(message, code="too_large", status=413)


def check_space(size: int = 0) -> None:
    """Raise Refused (507) when the disk of a SQLite database has not the room for `size` more bytes of upload."""
    if connection.vendor != "sqlite":
        return
    free = shutil.disk_usage(settings.DPL_DATA_DIR).free
    needed = settings.DPL_MIN_FREE_DISK_MB * MIB + COPIES * size
    if free < needed:
        raise no_space(f"{free // MIB} MB are free, {-(-needed // MIB)} MB are needed")


def no_space(details: str) -> Refused:
    """The refusal for want of room on the disk."""
    message = (
        f"The server's disk has too little room for this upload: {details}. "
        "Free some space under DPL_DATA_DIR, or lower DPL_MIN_FREE_DISK_MB."
    )
    return Refused(message, code="no_space", status=507)
