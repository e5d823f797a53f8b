"""One exchange about vectors: passed on unread where client and engine speak one dialect, else translated. Async."""

from __future__ import annotations

from dpl_site.lib.http1 import Answer
from inference.dialects.deltas import Usage
from inference.dialects.embedding import embedding_call, read_vectors
from inference.exchange import Client, Exchange, Limits, Route
from inference.surfaces.base import Asked, VectorSurface
from inference.surfaces.embeddings import told_tokens


class VectorExchange(Exchange):
    """A request for vectors. They are passed on unread where both sides speak one dialect."""

    def __init__(
        self, route: Route, surface: VectorSurface, asked: Asked, client: Client, limits: Limits
    ) -> None:
        super().__init__(route, asked, client, limits)
        self._surface = surface
        self._request = None if self._is_own else surface.request(asked, self._model)
        if self._request is None:
            self.call = surface.own_call(asked, self._model, context=route.candidate.context)
        else:
            self.call = embedding_call(route.target.kind, self._request)

    @property
    def _is_own(self) -> bool:
        return self._surface.dialect == self.route.target.kind

    async def _answered(self, response: Answer, request_id: str) -> None:
        body = await response.read_all(self._limits.max_reply_bytes)
        tokens = told_tokens(body)
        kind = "application/json"
        if self._request is None:
            kind = response.header(b"content-type", kind)
        else:
            vectors = read_vectors(self.route.target.kind, body, len(self._request.texts))
            tokens = vectors.prompt_tokens
            body = self._surface.answer(self._asked, self._model, vectors)
        self._whole.usage = Usage(tokens, 0)
        await self._client.whole(200, kind, body, self.route)
