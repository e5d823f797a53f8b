"""When keys were last used: noted in memory by each request, written once a minute by a thread."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta

from django.db import DatabaseError, connection
from django.db.models import Q

from accounts.models import ApiKey
from dpl_site.lib.clock import utc_now

EVERY_S = 60.0

logger = logging.getLogger(__name__)


class LastUsed:
    """Notes the use of keys and writes it behind the requests' backs.

    Guarantee: `note` never waits for the database, and a key's row is written at most once a minute by all
    processes together (the UPDATE asks for it). Writes ApiKey.last_used_at only. On kill -9 the last
    minute's use is not recorded; nothing depends on it.
    """

    def __init__(self) -> None:
        self.is_paused = False
        """While true, notes wait for an explicit `flush`."""
        self._noted: dict[int, float] = {}
        self._waiting: set[int] = set()
        self._is_writing = False
        self._lock = threading.Lock()

    def note(self, key_id: int) -> None:
        """This key is being used now."""
        now = time.monotonic()
        if now - self._noted.get(key_id, float("-inf")) < EVERY_S:
            return
        with self._lock:
            self._noted[key_id] = now
            self._waiting.add(key_id)
            if self._is_writing or self.is_paused:
                return
            self._is_writing = True
        threading.Thread(target=self._write, name="keys-last-used", daemon=True).start()

    def flush(self) -> int:
        """Write what waits, in the caller's thread; how many rows changed."""
        with self._lock:
            waiting, self._waiting = self._waiting, set()
            oldest = time.monotonic() - EVERY_S
            self._noted = {key: at for key, at in self._noted.items() if at > oldest}
        if not waiting:
            return 0
        now = utc_now()
        is_due = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - timedelta(seconds=EVERY_S))
        return ApiKey.objects.filter(is_due, id__in=waiting).update(last_used_at=now)

    def clear(self) -> None:
        """Forget every note."""
        with self._lock:
            self._noted.clear()
            self._waiting.clear()

    def _write(self) -> None:
        try:
            while self._has_more():
                self.flush()
        except DatabaseError as error:
            logger.warning("cannot record when keys were used: %s", str(error).strip())
        finally:
            with self._lock:
                self._is_writing = False
            connection.close()

    def _has_more(self) -> bool:
        with self._lock:
            return bool(self._waiting)


last_used = LastUsed()
