"""Which node an agent speaks for when it comes by itself: by the token that it shows."""

from __future__ import annotations

import secrets

from accounts.keys import key_in
from dpl_site.lib.refusals import Refused
from dpl_site.lib.secrets import fingerprint, fingerprints
from nodes.models import Node

MARK = "dpa_"
SHORTEST = 16
"""A token that people made up shorter than this opens nothing here: it could be guessed."""


class AgentRefused(Refused):
    """An agent is not let in; `code` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code, status=401)


def new_token() -> str:
    """A token for an agent: 240 random bits."""
    return MARK + secrets.token_urlsafe(30)


def token_hash(token: str) -> str:
    """What is kept of an agent's token so that it is found by it; empty for one that may not push."""
    return fingerprint(token) if len(token) >= SHORTEST else ""


def node_of_agent(authorization: str | None) -> Node:
    """The live node whose agent shows its token. Raises AgentRefused (401).

    A token of a node that was removed is told so, whatever became of the node's name or machine since.
    """
    shown = key_in(authorization) or ""
    if len(shown) < SHORTEST:
        raise AgentRefused("agent_token_missing", "Send the agent's token: Authorization: Bearer <token>.")
    rows = list(Node.objects.filter(agent_token_hash__in=fingerprints(shown))[:16])
    # The hash finds the row, the secret itself decides.
    live = [row for row in rows if row.archived_at is None and _is_same(row.agent_token, shown)]
    if len(live) == 1:
        return live[0]
    if live:
        names = ", ".join(row.name for row in live)
        raise AgentRefused(
            "agent_token_shared", f"Several nodes have this token ({names}). Give each agent its own: join."
        )
    if any(row.archived_at is not None for row in rows):
        raise AgentRefused(
            "node_removed", "This node was removed from the fleet. To be one again, it joins anew."
        )
    raise AgentRefused(
        "agent_token_unknown",
        "No node has this agent's token: it joined again since, or elsewhere. Join anew.",
    )


def _is_same(kept: str, shown: str) -> bool:
    return secrets.compare_digest(kept.encode(), shown.encode())
