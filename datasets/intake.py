"""The upload door: a plain ASGI application that takes datasets in as they arrive, before Django is asked.

Async. It parses in threads, stores what is checked while the rest is still on its way, and reads on only
when that is stored, so that neither memory nor the event loop feels a large file.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable

from django.db import InterfaceError, OperationalError

from accounts import csrf, keys
from accounts.authentication import Principal, authenticate_scope
from accounts.http import NO_KEY, WRONG_KEY, lacks
from datasets.capacity import check_size, check_space, no_space
from datasets.models import Job
from datasets.reception import Reception, job_of_upload, made_answer
from datasets.uploads import Part, parts_store, upload_begin, upload_drop
from dpl_site.lib import trace
from dpl_site.lib.answering import Answer, Message, Receive, Scope, Send, header
from dpl_site.lib.db import call, retrying
from dpl_site.lib.refusals import Refused

UPLOAD = "/api/dataset/upload"
JOBS = frozenset({"/api/v1/jobs", "/api/v1/jobs/"})
BATCH = 512 * 1024
"""Bytes that one thread call takes apart: enough to be worth the way there, few enough to be short."""
IDLE_S = 60.0

logger = logging.getLogger(__name__)

instance_id: Callable[[], uuid.UUID | None] = lambda: None  # noqa: E731 - a hook: the web process puts its own here
"""Which registered process this is, asked at each upload; its uploads are pruned when it has died."""


class ClientGone(Exception):
    """The client left before its upload was whole."""


class UploadDoor:
    """Answers `POST /api/dataset/upload` and `POST /api/v1/jobs/`, and other methods on the first with 405.

    Guarantee: an upload becomes a job whole, or nothing is left of it: Upload and UploadPart rows are dropped
    when a row is bad, the client leaves, or anything breaks. Writes those rows in short transactions, and the
    Job in one. On kill -9 the rows stay until `prune_uploads` finds that their process has ended.
    """

    def owns(self, scope: Scope) -> bool:
        """Whether this request is for this door; preflights are left to Django's middleware."""
        if scope["type"] != "http":
            return False
        if scope["path"] == UPLOAD:
            return bool(scope["method"] != "OPTIONS")
        return scope["path"] in JOBS and scope["method"] == "POST"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        token = trace.request_id.set(trace.accepted(header(scope, b"x-request-id")))
        body = Body(receive)
        answer = Answer(scope, send)
        try:
            job, fields = await self._take_in(scope, body)
            await answer.send(201, made_answer(job, fields), body.drain)
        except ClientGone:
            logger.info("an upload was left by its client", extra={"action": "upload_left"})
        except Refused as refused:
            await answer.refuse(refused, body.drain)
        except (OperationalError, InterfaceError) as error:
            await answer.refuse(_of_database(error), body.drain)
        except Exception as error:
            logger.exception("an upload broke", extra={"action": "upload_broke"})
            await answer.broke(error, body.drain)
        finally:
            trace.request_id.reset(token)

    async def _take_in(self, scope: Scope, body: Body) -> tuple[Job, dict[str, str]]:
        if scope["method"] != "POST":
            raise Refused(f"{scope['method']} is not possible here. Use POST.", status=405)
        principal = await admitted(scope)
        length = header(scope, b"content-length")
        size = int(length) if length.isdigit() else 0
        check_size(size)
        check_space(size)
        reception = Reception(header(scope, b"content-type"))
        upload_id = await call(upload_begin, owner_id=principal.user_id, instance_id=instance_id())
        try:
            job = await self._fill(upload_id, principal, reception, body)
        except BaseException:
            await _dropped(upload_id)
            raise
        return job, dict(reception.fields)

    async def _fill(
        self, upload_id: uuid.UUID, principal: Principal, reception: Reception, body: Body
    ) -> Job:
        async for batch in body.batches():
            await self._store(upload_id, await asyncio.to_thread(reception.feed, batch))
        await self._store(upload_id, await asyncio.to_thread(reception.close))
        return await call(
            job_of_upload,
            owner_id=principal.user_id,
            upload_id=upload_id,
            rows=reception.rows,
            fields=reception.fields,
            filename=reception.filename,
        )

    async def _store(self, upload_id: uuid.UUID, parts: list[Part]) -> None:
        if parts:
            check_space()
            await call(parts_store, upload_id=upload_id, parts=parts)


class Body:
    """A request's body in batches, with a limit to its size and to the client's silence."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False

    async def batches(self) -> AsyncIterator[bytes]:
        """The body in batches of about BATCH bytes. Raises Refused (413, 408) and ClientGone."""
        pieces: list[bytes] = []
        total = gathered = 0
        while not self._is_over:
            piece = (await self._next(IDLE_S)).get("body", b"")
            total, gathered = total + len(piece), gathered + len(piece)
            check_size(total)
            pieces.append(piece)
            if gathered >= BATCH or self._is_over:
                yield b"".join(pieces)
                pieces, gathered = [], 0

    async def drain(self, limit_s: float) -> None:
        """Read what is left and forget it, for some seconds: a client that still sends then sees the answer."""
        try:
            async with asyncio.timeout(limit_s):
                while not self._is_over:
                    await self._next(limit_s)
        except (TimeoutError, Refused, ClientGone):
            self._is_over = True

    @property
    def is_over(self) -> bool:
        """Whether all of it was received."""
        return self._is_over

    async def _next(self, idle_s: float) -> Message:
        try:
            async with asyncio.timeout(idle_s):
                message = await self._receive()
        except TimeoutError:
            text = f"No data came for {idle_s:.0f} s, so the upload was given up. Send it again."
            raise Refused(text, code="upload_timeout", status=408) from None
        if message["type"] == "http.disconnect":
            self._is_over = True
            raise ClientGone
        self._is_over = not message.get("more_body", False)
        return message


async def admitted(scope: Scope) -> Principal:
    """Who uploads. Raises Refused: 401 for nobody, 403 without the scope, or without the CSRF token of a session."""
    principal = await authenticate_scope(scope)
    if principal is None:
        shown = keys.key_in(header(scope, b"authorization")) is not None
        code = "invalid_api_key" if shown else ""
        raise Refused(WRONG_KEY if shown else NO_KEY, code=code, status=401)
    if not principal.may("datasets"):
        raise lacks(principal, "datasets")
    reason = csrf.refusal_of_scope(scope) if principal.key_id is None else None
    if reason:
        message = f"{reason} Reload the page and try again, or use an API key."
        raise Refused(message, code="csrf_failed", status=403)
    return principal


async def _dropped(upload_id: uuid.UUID) -> None:
    """Drop what has arrived, even while this request is being cancelled."""
    task = asyncio.ensure_future(call(retrying, lambda: upload_drop(upload_id=upload_id)))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
    except (OperationalError, InterfaceError) as error:
        logger.warning("an upload stays until it is pruned: %s", str(error).strip())


def _of_database(error: Exception) -> Refused:
    if "full" in str(error):
        return no_space("the database says that its disk is full")
    logger.warning("an upload met a database that is away: %s", str(error).strip())
    message = "The database does not answer. Try again in a few seconds."
    return Refused(message, code="database_away", status=503)
