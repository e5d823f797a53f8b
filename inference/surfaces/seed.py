"""Seed 1's chat: OpenAI's, but it names the node that answers, and streams unless told not to. Pure."""

from __future__ import annotations

import orjson

from dpl_site.lib.refusals import Surface as Words
from dpl_site.lib.refusals import error_body
from inference.dialects.base import Call
from inference.dialects.hidden_usage import ASK
from inference.dialects.openai import CHAT
from inference.surfaces.base import Answering, Asked, with_model
from inference.surfaces.openai import OpenAIChat, event, hides_usage


class SeedChat(OpenAIChat):
    """`/api/chat/completions`."""

    streams_unless_told = True

    def own_call(
        self, asked: Asked, model: str, *, wants_stream: bool, context: int = 0, counts: bool = False
    ) -> Call:
        """The same request, saying that it is to be streamed: engines take silence for no."""
        if asked.wants_stream:
            more = ASK if counts and hides_usage(asked) else {}
            return Call(CHAT, with_model(asked, model, stream=True, **more), True)
        return super().own_call(asked, model, wants_stream=wants_stream)

    def opening(self, node: Answering) -> bytes:
        """The event that names the node; of several, the last one counts."""
        return b"event: node\n" + event(_told(node) | {"reasons": node.why()})

    def named(self, body: bytes, node: Answering) -> bytes:
        """The completion with `node`."""
        return orjson.dumps(orjson.loads(body) | {"node": _told(node)})

    def late_error(self, message: str, code: str, status: int) -> bytes:
        """An event that holds the error in the shape of this path's other errors, after one that broke off."""
        return b"\n" + event(error_body(Words.DPL, message, code, status))


def _told(node: Answering) -> dict[str, object]:
    return {"id": node.node_id, "name": node.node_name}
