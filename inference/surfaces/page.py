"""The chat of DPL's own pages: a question as the socket gets it, and the messages that answer it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from dpl_site.lib.refusals import Refused
from inference.dialects.base import Generation
from inference.dialects.deltas import Delta, Usage, Whole
from inference.surfaces.base import Answering, Asked, Writer, messages_of, model_of, prefix_of
from inference.surfaces.openai import ROLES, OpenAIChat, usage_of

MAX_ID = 100


class PageChat(OpenAIChat):
    """One question of `/ws/chat/`. No engine speaks its dialect, so every answer is translated: a line is a message."""

    dialect = "page"
    stream_type = ""

    def __init__(self, identity: str | int) -> None:
        self._id = identity

    def question(self, said: Mapping[str, Any]) -> Asked:
        """The question in a `start` message. Raises Refused."""
        if not messages_of(said, roles=ROLES):
            raise Refused("messages is empty. Send at least one message.", code="bad_messages")
        if not isinstance(said.get("options") or {}, dict):
            raise Refused("options must be an object.", code="bad_value", detail={"field": "options"})
        prefix = prefix_of(said["messages"])
        return Asked(b"", said, model_of(said), wants_stream=True, prefix=prefix)

    def generation(self, asked: Asked, model: str) -> Generation:
        """Messages and options as they are: DPL's own words are OpenAI's."""
        return Generation(model, asked.body["messages"], asked.body.get("options") or {}, wants_stream=True)

    def writer(self, asked: Asked, model: str, request_id: str) -> Writer:
        """A writer of messages."""
        return PageWriter(self._id)

    def late_error(self, message: str, code: str, status: int) -> bytes:
        """Errors are the socket's to tell: it knows whose they are."""
        return b""

    def ping(self) -> bytes:
        """A socket needs none: the server pings by itself."""
        return b""

    def opening(self, node: Answering) -> bytes:
        """Which node answers, with which model, and why."""
        told = {"id": node.node_id, "name": node.node_name}
        return message("node", self._id, node=told, model=node.model, reasons=node.why())


class PageWriter:
    """Messages of one answer."""

    def __init__(self, identity: str | int) -> None:
        self._id = identity
        self._usage = Usage()
        self._reason = "stop"

    def piece(self, delta: Delta) -> bytes:
        """What was thought and what was said, a message each."""
        self._usage = delta.usage or self._usage
        self._reason = delta.finish_reason or self._reason
        said = [
            message(kind, self._id, text=text)
            for kind, text in (("thinking", delta.thinking), ("token", delta.text))
            if text
        ]
        return b"\n".join(said)

    def end(self) -> bytes:
        """That it is done."""
        # Tokens that no engine told are unknown here, and never 0.
        usage = usage_of(self._usage) if self._usage.completion_tokens is not None else None
        return message("done", self._id, usage=usage, finish_reason=self._reason)

    def whole(self, answer: Whole) -> bytes:
        """A page's answer always streams."""
        return self.end()


def message(kind: str, identity: str | int | None, **more: Any) -> bytes:
    """One message to the page."""
    return orjson.dumps({"type": kind, "id": identity, **more})


def id_of(said: Mapping[str, Any]) -> str | int:
    """The id by which the page knows its question. Raises Refused."""
    identity = said.get("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int) or len(str(identity)) > MAX_ID:
        raise Refused(f"id must be a text of at most {MAX_ID} characters, or a number.", code="bad_id")
    return identity
