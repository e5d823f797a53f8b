"""Asks one machine's agent how it is, and tells it of our lock. Never trusts what comes back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from dpl_site.lib import http
from nodes.answers import NoStatus, moment, parse_lock, parse_object, parse_status
from nodes.payloads import AgentLock, LockRequest, Status, UnlockRequest

MAX_BYTES = 1024 * 1024
TIMEOUT_S = 1.0


class AgentError(Exception):
    """An agent did not answer as an agent does. `message` says what is wrong and what to do.

    `is_refusal`: it answered and will not do it, so that asking again soon is no use.
    """

    def __init__(self, message: str, *, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.is_refusal = is_refusal


@dataclass(frozen=True, slots=True)
class AgentReading:
    """What an agent told. `clock_skew_s`: how far its clock is ahead of ours, to about half a second."""

    status: Status
    clock_skew_s: float | None

    @property
    def lock(self) -> AgentLock | None:
        """The lock that stands on the agent."""
        return self.status["lock"]


async def ask_agent(
    session: aiohttp.ClientSession, *, base_url: str, token: str, timeout_s: float = TIMEOUT_S
) -> AgentReading:
    """The agent's latest reading. Raises AgentError."""
    began = time.time()
    answer = await _exchange(session, "GET", f"{base_url}/status", token=token, timeout_s=timeout_s)
    middle = (began + time.time()) / 2
    if answer.status != 200:
        raise _refusal(base_url, answer.status)
    try:
        status = parse_status(answer.body)
    except NoStatus as error:
        raise _no_agent(base_url, str(error)) from error
    return AgentReading(status, _skew(answer, status, middle))


async def mirror_lock(
    session: aiohttp.ClientSession,
    *,
    base_url: str,
    token: str,
    lock: LockRequest,
    timeout_s: float = TIMEOUT_S,
) -> AgentLock | None:
    """Take or renew our lock on the agent: None when it holds it now, else the lock that stands in the way.

    Raises AgentError when the agent does neither.
    """
    answer = await _exchange(
        session, "POST", f"{base_url}/lock", token=token, timeout_s=timeout_s, json=dict(lock)
    )
    if answer.status == 200:
        return None
    if answer.status == 409:
        return _standing(base_url, answer)
    raise _refusal(base_url, answer.status)


async def mirror_unlock(
    session: aiohttp.ClientSession,
    *,
    base_url: str,
    token: str,
    lock: UnlockRequest,
    timeout_s: float = TIMEOUT_S,
) -> AgentLock | None:
    """Free the agent of a lock of ours: None when it is free, else the lock of another. Raises AgentError."""
    answer = await _exchange(
        session, "POST", f"{base_url}/unlock", token=token, timeout_s=timeout_s, json=dict(lock)
    )
    if answer.status == 200:
        return None
    if answer.status == 409:
        return _standing(base_url, answer)
    raise _refusal(base_url, answer.status)


async def _exchange(
    session: aiohttp.ClientSession, method: str, url: str, *, token: str, timeout_s: float, json: Any = None
) -> http.Answer:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    try:
        return await http.ask(
            session, method, url, timeout_s=timeout_s, headers=headers, json=json, max_bytes=MAX_BYTES
        )
    except http.TooLarge as error:
        raise _no_agent(url, f"more than {MAX_BYTES >> 20} MiB") from error
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise AgentError(http.explain(error, url, what="agent")) from error


def _refusal(base_url: str, status: int) -> AgentError:
    if status in (401, 403):
        return AgentError(
            "the agent refuses DPL's token; enter the one in its DPL_AGENT_TOKEN", is_refusal=True
        )
    if status == 404:
        return _no_agent(base_url, "not found (404)")
    return AgentError(f"the agent answers with status {status}; look at what it logs", is_refusal=True)


def _no_agent(url: str, looks_like: str) -> AgentError:
    place = url.partition("://")[2].partition("/")[0]
    return AgentError(
        f"{place} answers with {looks_like}, so it is no agent; check the port", is_refusal=True
    )


def _standing(base_url: str, answer: http.Answer) -> AgentLock:
    try:
        lock = parse_lock(parse_object(answer.body).get("lock"))
    except NoStatus as error:
        raise _no_agent(base_url, str(error)) from error
    if lock is None:
        raise AgentError("the agent refuses and names no lock", is_refusal=True)
    return lock


def _skew(answer: http.Answer, status: Status, middle: float) -> float | None:
    """By the Date header, which is cut to whole seconds; else by the sample, which may be some seconds old."""
    try:
        theirs: datetime | None = parsedate_to_datetime(answer.headers.get("Date", ""))
        cut = 0.5
    except (ValueError, TypeError):
        theirs, cut = moment(status["sampled_at"]), 0.0
    if theirs is None:
        return None
    return round(theirs.timestamp() + cut - middle, 1)
