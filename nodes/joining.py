"""Invitations: the tokens by which machines make themselves nodes. The only writer of JoinToken and NodeJoin rows.

Of a token only its SHA-256 is kept, as of an API key: it is random, and shown once.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, Prefetch, QuerySet
from django.utils import timezone

from accounts.keys import digest_of
from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import NowMs, now_ms
from dpl_site.lib.refusals import Refused
from nodes.answers import clean
from nodes.join_request import MAX_NAME
from nodes.models import JoinToken, NodeJoin

MARK = "dpj_"
MAX_ENVIRONMENT = 50
LONGEST_TTL_S = 30 * 86_400
MOST_OPEN = 200
"""Invitations that stand open at once; a page that makes them in a loop cannot fill the table."""
_PREFIX_LENGTH = 12
STATES = WAITING, USED, EXPIRED, REVOKED = ("waiting", "used", "expired", "revoked")
_NEW_ONE = "Ask an admin for a new line (Add node on the fleet page, or `manage.py node invite`)."


class JoinRefused(Refused):
    """A join token lets nobody in, and `code` says why: it is unknown, used, expired or revoked."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(f"{message} {_NEW_ONE}", code=f"join_token_{why}", status=401)


def token_create(
    *, created_by: str, name: str = "", environment: str = "", ttl_s: int | None = None, uses: int = 1
) -> tuple[JoinToken, str]:
    """A new invitation and its plain text, which is kept nowhere.

    `name` is what the node is to be called (empty: as its host), `uses` how many machines may join by it.
    Raises Refused, by field.
    """
    life_s = settings.DPL_JOIN_TOKEN_TTL_S if ttl_s is None else ttl_s
    if not 1 <= life_s <= LONGEST_TTL_S:
        raise _wrong("ttl_s", f"A join token lasts from 1 second to {LONGEST_TTL_S // 86_400} days.")
    if not 1 <= uses <= settings.DPL_JOIN_TOKEN_MOST_USES:
        raise _wrong("uses", f"A join token is for 1 to {settings.DPL_JOIN_TOKEN_MOST_USES} machines.")
    columns = {
        "name": _text("name", name, MAX_NAME),
        "environment": _text("environment", environment, MAX_ENVIRONMENT) or "default",
    }
    if open_tokens().count() >= MOST_OPEN:
        raise Refused(f"{MOST_OPEN} join tokens are open. Revoke some first.", code="too_many", status=409)
    plain = MARK + secrets.token_urlsafe(30)
    row = JoinToken.objects.create(
        digest=digest_of(plain),
        prefix=plain[:_PREFIX_LENGTH],
        created_by=created_by[:150],
        expires_ms=now_ms() + life_s * 1000,
        most_uses=uses,
        **columns,
    )
    return row, plain


def token_revoke(*, token_id: int) -> None:
    """Let nobody join by it any more; who did stays. Raises Refused (404)."""
    if not JoinToken.objects.filter(id=token_id, revoked_at=None).update(revoked_at=utc_now()):
        raise Refused(f"There is no open join token {token_id}.", status=404)


def token_of(plain: str) -> JoinToken:
    """The invitation that still lets somebody in. Raises JoinRefused."""
    row = JoinToken.objects.filter(digest=digest_of(plain)).first() if plain.startswith(MARK) else None
    if row is None:
        raise JoinRefused("unknown", "This join token is unknown here: it is misspelt, or another server's.")
    state = state_of(row, now_ms())
    if state != WAITING:
        raise _refused(state)
    return row


def token_use(*, token_id: int) -> None:
    """Take one of its uses, in the caller's transaction. Raises JoinRefused when another took the last."""
    if not open_tokens().filter(id=token_id).update(uses=F("uses") + 1):
        raise _refused(state_of(JoinToken.objects.get(id=token_id), now_ms()))


def join_note(*, token: JoinToken, **columns: Any) -> NodeJoin:
    """Write down who joined by a token."""
    return NodeJoin.objects.create(token=token, **columns)


def open_tokens() -> QuerySet[JoinToken]:
    """The invitations that still let somebody in."""
    return JoinToken.objects.filter(revoked_at=None, expires_ms__gt=NowMs(), uses__lt=F("most_uses"))


def with_joins() -> QuerySet[JoinToken]:
    """All invitations that are kept, the newest first, each with who joined by it."""
    joins = NodeJoin.objects.select_related("node__status").defer("node__agent_token")
    return JoinToken.objects.prefetch_related(Prefetch("joins", joins))


def state_of(token: JoinToken, now: int) -> str:
    """waiting, used, expired or revoked; `now` is the database's clock."""
    if token.revoked_at is not None:
        return REVOKED
    if token.uses >= token.most_uses:
        return USED
    return EXPIRED if token.expires_ms <= now else WAITING


def prune(*, older_than_days: int, most: int) -> int:
    """Remove what was noted of joins and invitations longer ago than this; how many rows."""
    oldest: datetime = timezone.now() - timedelta(days=older_than_days)
    removed = 0
    for model, column in ((NodeJoin, "at"), (JoinToken, "created_at")):
        rows = model._default_manager.filter(**{f"{column}__lt": oldest}).order_by("pk")
        some = list(rows.values_list("pk", flat=True)[:most])
        removed += model._default_manager.filter(pk__in=some).delete()[0] if some else 0
    return removed


def _refused(state: str) -> JoinRefused:
    said = {USED: "has been used already", REVOKED: "was revoked"}.get(state, "has expired")
    return JoinRefused(state, f"This join token {said}.")


def _text(field: str, value: str, most: int) -> str:
    text = value.strip()
    if len(text) > most or clean(text) != text:
        raise _wrong(field, f"{field} is a text of at most {most} characters that can be shown.")
    return text


def _wrong(field: str, message: str) -> Refused:
    return Refused(message, code="invalid", status=400, detail={field: [message]})
