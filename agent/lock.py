"""Who holds this machine: the compare-and-set lock. Pure: the clock comes from outside."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from agent.clock import Clock

DEFAULT_TTL_S = 600.0
MIN_TTL_S = 1.0
MAX_TTL_S = 24 * 3600.0


@dataclass(frozen=True)
class Claim:
    """What somebody asks for. `None` means: as it stands in the lock being renewed, else the default."""

    id: str
    caller: str
    owner: str | None = None
    installation: str | None = None
    reason: str | None = None
    ttl_s: float = DEFAULT_TTL_S


@dataclass(frozen=True)
class Lock:
    """A lock that stands until `expires`, seconds of the clock that the NodeLock was made with."""

    id: str
    owner: str
    installation: str | None
    reason: str
    expires: float


@dataclass(frozen=True)
class Verdict:
    """What came of a request: whether it was granted, and the lock that stands after it."""

    granted: bool
    lock: Lock | None


class NodeLock:
    """One lock at most, kept in memory only.

    Guarantee: of any number of threads that claim a free machine at once exactly one is granted, and a lock
    whose time is up is gone for every reader. Writes no rows. On kill -9, as on any restart, the machine is
    free: whoever held it claims it again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._lock: Lock | None = None

    def current(self) -> Lock | None:
        """The lock that stands now, None when the machine is free."""
        with self._mutex:
            return self._standing()

    def acquire(self, claim: Claim) -> Verdict:
        """Take the free machine, or renew one's own lock; refused while another's stands."""
        with self._mutex:
            standing = self._standing()
            if standing is not None and not _is_its(standing, claim.id, claim.installation):
                return Verdict(granted=False, lock=standing)
            expires = self._clock() + claim.ttl_s
            self._lock = _renewed(standing, claim, expires) if standing else _fresh(claim, expires)
            return Verdict(granted=True, lock=self._lock)

    def release(self, lock_id: str, *, installation: str | None = None, force: bool = False) -> Verdict:
        """Free the machine; refused while another's lock stands, unless forced. A free machine stays free."""
        with self._mutex:
            standing = self._standing()
            if standing is not None and not force and not _is_its(standing, lock_id, installation):
                return Verdict(granted=False, lock=standing)
            self._lock = None
            return Verdict(granted=True, lock=None)

    def _standing(self) -> Lock | None:
        if self._lock is not None and self._clock() >= self._lock.expires:
            self._lock = None
        return self._lock


def _is_its(lock: Lock, lock_id: str, installation: str | None) -> bool:
    """Whether a caller's id names this lock; two installations may count alike, so both must agree."""
    if lock.id != lock_id:
        return False
    return installation is None or lock.installation is None or installation == lock.installation


def _fresh(claim: Claim, expires: float) -> Lock:
    owner = claim.caller if claim.owner is None else claim.owner
    return Lock(claim.id, owner, claim.installation, claim.reason or "", expires)


def _renewed(standing: Lock, claim: Claim, expires: float) -> Lock:
    return replace(
        standing,
        owner=standing.owner if claim.owner is None else claim.owner,
        installation=claim.installation or standing.installation,
        reason=standing.reason if claim.reason is None else claim.reason,
        expires=expires,
    )
