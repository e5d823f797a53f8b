"""Decides whether a key may make another request: its limits, the windows they hold in, and what is left. Pure.

Windows are calendar minutes and days (UTC). A process is granted requests of what is left to all, and admits them
without asking; what it does not use it gives back. Tokens are known only when a request is over: they are told then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dpl_site.lib.refusals import Refused

MINUTE, DAY = 60, 86_400
"""The lengths of the windows, in seconds."""
_NAMES = {MINUTE: "minute", DAY: "day"}
RATE_LIMITED = "rate_limited"
ASK_AGAIN_S = 0.5
"""A process that was granted nothing asks no more for so long."""
RECENT_S = 5.0
"""A key that was used within this time is asked about, since others may use its tokens too."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How much a key may do; None: as much as it likes."""

    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None

    def __bool__(self) -> bool:
        return any(limit is not None for _, _, limit in self.each())

    def each(self) -> Iterator[tuple[int, str, int | None]]:
        """Each limit by its window and what it counts."""
        yield MINUTE, "requests", self.requests_per_minute
        yield DAY, "requests", self.requests_per_day
        yield MINUTE, "tokens", self.tokens_per_minute
        yield DAY, "tokens", self.tokens_per_day


LIMITS = ("requests_per_minute", "requests_per_day", "tokens_per_minute", "tokens_per_day")
"""The names of the limits: columns of a key, fields of the API, flags of the command."""
MOST, MOST_REQUESTS = 10**12, 10**9
"""The largest limits that can be set, on tokens and on requests."""


@dataclass(frozen=True, slots=True, order=True)
class WindowOf:
    """One window of one key: `start` is epoch seconds."""

    key_id: int
    seconds: int
    start: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What a process tells of one window, and how many requests it wants to be granted under `limit`.

    `change` raises what all have been granted: less than 0 gives back, more than 0 tells what was taken while
    the others could not be asked. `tokens` were used since the last claim.
    """

    window: WindowOf
    limit: int | None
    wants: int = 0
    change: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What all have been granted and used in one window, and how many requests this process got of it now."""

    requests: int = 0
    tokens: int = 0
    granted: int = 0


def granted_of(limit: int, requests: int, wants: int, processes: int) -> int:
    """How many of the requests that are left one process gets: those that wait, and a share for the next moment."""
    left = max(limit - requests, 0)
    return min(left, max(wants, left // (2 * processes))) if wants else 0


class OverLimit(Refused):
    """A key has used up what it may. `retry_after_s` is when its window ends."""

    def __init__(self, message: str, *, retry_after_s: float, headers: Mapping[str, str]) -> None:
        super().__init__(message, code=RATE_LIMITED, status=429)
        self.retry_after_s = retry_after_s
        self.headers = headers


class MustAsk(Exception):
    """The process has nothing left of what it was granted."""


@dataclass(slots=True)
class _Window:
    """One window as this process knows it.

    `total` of requests was granted to all, `held` of it this process has not used yet; `recent` it used since it
    last gave back. Tokens: of all as last told, on their way to the others, and since.
    """

    start: int = -1
    total: int = 0
    held: int = 0
    recent: int = 0
    debt: int = 0
    wanted: int = 0
    none_at: float = float("-inf")
    tokens: int = 0
    sending: int = 0
    since: int = 0


class KeyMeter:
    """What one process knows of one key's use, and what it was granted."""

    def __init__(self, key_id: int, limits: KeyLimits) -> None:
        self.key_id, self.limits = key_id, limits
        self.used_at = 0.0
        self._is_new = True
        self._processes = 1
        self._windows = {MINUTE: _Window(), DAY: _Window()}

    def admit(self, limits: KeyLimits, now: float) -> dict[str, str]:
        """Count one request; the headers that tell what is left. `now` is epoch seconds.

        Raises OverLimit, and MustAsk where nothing is left of what was granted to this process.
        """
        self.limits, self.used_at = limits, now
        self._roll(now)
        for seconds, counts, limit in self._limited():
            window = self._windows[seconds]
            if counts == "tokens" and window.tokens + window.sending + window.since >= limit:
                raise self._over(seconds, counts, limit, now)
            if counts == "requests" and window.held < 1 and now - window.none_at < ASK_AGAIN_S:
                raise self._over(seconds, counts, limit, now)
        self._have_granted()
        for window in self._requests():
            window.held, window.recent = window.held - 1, window.recent + 1
        return self._headers(now)

    def over(self, now: float) -> OverLimit:
        """The refusal of a request for which there was nothing, however often it was asked."""
        seconds, counts, limit = next(self._limited())
        return self._over(seconds, counts, limit, now)

    def spend(self, tokens: int, now: float) -> None:
        """A request came to its end and used so many tokens."""
        self._roll(now)
        for window in self._windows.values():
            window.since += tokens

    def claims(self, now: float, *, keeps: int | None = None) -> list[Claim]:
        """What is to be told and asked; empty when there is nothing.

        With `keeps`, what is held beyond so many times what was used since the last such call goes back. What is
        taken counts as on its way until `learn` or `failed`.
        """
        self._roll(now)
        is_watched = self._is_new or (now - self.used_at < RECENT_S and self._counts("tokens"))
        claims = [
            self._claim(seconds, keeps) for seconds in sorted({seconds for seconds, _, _ in self._limited()})
        ]
        return [one for one in claims if is_watched or one.wants or one.change or one.tokens]

    def learn(
        self, claims: Iterable[Claim], grants: Mapping[WindowOf, Grant], processes: int, now: float
    ) -> None:
        """What came of these claims; `processes` share the limits."""
        self._is_new, self._processes = False, max(processes, 1)
        for claim in claims:
            window, grant = self._windows[claim.window.seconds], grants[claim.window]
            window.sending = 0
            if window.start == claim.window.start:
                window.total, window.tokens = grant.requests, grant.tokens
                window.held += grant.granted
                if claim.wants and not grant.granted:
                    window.none_at = now

    def failed(self, claims: Iterable[Claim], now: float) -> None:
        """The others could not be asked: the process grants itself what it believes is left, and tells it later."""
        self._is_new = False
        for claim in claims:
            window = self._windows[claim.window.seconds]
            window.since, window.sending = window.since + window.sending, 0
            if window.start != claim.window.start:
                continue
            granted = granted_of(claim.limit or 0, window.total, claim.wants, self._processes)
            window.held, window.total = window.held + granted, window.total + granted
            window.debt += claim.change + granted
            if claim.wants and not granted:
                window.none_at = now

    # --- Within -------------------------------------------------------------------------------------------

    def _limited(self) -> Iterator[tuple[int, str, int]]:
        return (
            (seconds, counts, limit) for seconds, counts, limit in self.limits.each() if limit is not None
        )

    def _counts(self, what: str) -> bool:
        return any(counts == what for _, counts, _ in self._limited())

    def _requests(self) -> list[_Window]:
        """The windows in which requests are limited."""
        return [self._windows[seconds] for seconds, counts, _ in self._limited() if counts == "requests"]

    def _have_granted(self) -> None:
        """Raise MustAsk unless each window has a request left for this process."""
        lacking = [window for window in self._requests() if window.held < 1]
        for window in lacking:
            window.wanted += 1
        if lacking or self._is_new:
            raise MustAsk

    def _roll(self, now: float) -> None:
        """Begin the windows of this moment; what was held of the last ones has ended with them."""
        for seconds, window in self._windows.items():
            start = int(now // seconds) * seconds
            if window.start != start:
                self._windows[seconds] = _Window(start)

    def _claim(self, seconds: int, keeps: int | None) -> Claim:
        window = self._windows[seconds]
        limit = next(
            (most for one, what, most in self._limited() if (one, what) == (seconds, "requests")), None
        )
        back = 0
        if keeps is not None:
            back, window.recent = max(window.held - keeps * window.recent, 0), 0
        claim = Claim(
            WindowOf(self.key_id, seconds, window.start),
            limit,
            window.wanted,
            window.debt - back,
            window.since,
        )
        window.held, window.total = window.held - back, window.total - back
        window.debt = window.wanted = 0
        window.sending, window.since = window.sending + window.since, 0
        return claim

    def _over(self, seconds: int, counts: str, limit: int, now: float) -> OverLimit:
        left_s = self._windows[seconds].start + seconds - now
        text = f"This key may use {limit} {counts} a {_NAMES[seconds]}. Try again in {math.ceil(left_s)} s."
        return OverLimit(text, retry_after_s=left_s, headers=self._headers(now))

    def _headers(self, now: float) -> dict[str, str]:
        """OpenAI's headers, of the shortest window that is limited."""
        told: dict[str, str] = {}
        for seconds, counts, limit in self._limited():
            if f"x-ratelimit-limit-{counts}" not in told:
                window = self._windows[seconds]
                tokens = window.tokens + window.sending + window.since
                used = window.total - window.held if counts == "requests" else tokens
                told[f"x-ratelimit-limit-{counts}"] = str(limit)
                told[f"x-ratelimit-remaining-{counts}"] = str(max(limit - used, 0))
                told[f"x-ratelimit-reset-{counts}"] = f"{max(math.ceil(window.start + seconds - now), 1)}s"
        return told
