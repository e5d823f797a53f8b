"""How a refusal is said: one exception for services, and the body of an error on each of the surfaces.

/v1/…                    OpenAI   {"error": {"message", "type", "param", "code"}}
Ollama's own paths       Ollama   {"error": "…"}
everything else          DPL      {"error": {"message", "code", "detail"?}}
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from django.http import JsonResponse

OLLAMA_PATHS = frozenset(
    f"/api/{name}"
    for name in (
        *("chat", "generate", "embed", "embeddings", "tags", "ps", "show", "version"),
        *("pull", "push", "create", "copy", "delete"),
    )
)
_OLLAMA_BLOBS = "/api/blobs/"
_MACHINE_PREFIXES = ("/api/", "/v1/", "/ws/")
_MACHINE_PATHS = frozenset({"/health", "/ready", "/metrics", "/v1", "/api"})

CODES = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    500: "internal_error",
    501: "not_implemented",
    503: "unavailable",
}
"""The code of an error that has no better one, by its status."""

_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Surface(StrEnum):
    """In whose words a path's errors are said."""

    OPENAI = "openai"
    OLLAMA = "ollama"
    DPL = "dpl"


class Refused(Exception):
    """A service's no: `message` says to a person what is wrong and what to do.

    `detail` names fields: `{field: [message, …]}`. Views give it to the client with `status`.
    """

    def __init__(
        self, message: str, *, code: str = "", status: int = 400, detail: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code or CODES.get(status, "error")
        self.detail = detail


def surface_of(path: str) -> Surface:
    """The surface that a path belongs to."""
    if path == "/v1" or path.startswith("/v1/"):
        return Surface.OPENAI
    if path in OLLAMA_PATHS or path.startswith(_OLLAMA_BLOBS):
        return Surface.OLLAMA
    return Surface.DPL


def is_machine_path(path: str) -> bool:
    """Whether programs ask there, who never get HTML."""
    return path.rstrip("/") in _MACHINE_PATHS or path.startswith(_MACHINE_PREFIXES)


def error_body(
    surface: Surface, message: str, code: str, status: int, detail: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The body of an error on one surface."""
    if surface is Surface.OLLAMA:
        return {"error": message}
    if surface is Surface.OPENAI:
        kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}
    body: dict[str, Any] = {"message": message, "code": code}
    return {"error": body | ({"detail": detail} if detail is not None else {})}


def json_error(
    message: str,
    code: str,
    status: int,
    detail: dict[str, Any] | None = None,
    *,
    surface: Surface = Surface.DPL,
) -> JsonResponse:
    """A JSON answer that says what is wrong; a 401 says besides how to prove oneself."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JsonResponse(error_body(surface, message, code, status, detail), status=status, headers=headers)


def error_for(
    path: str, message: str, code: str, status: int, detail: dict[str, Any] | None = None
) -> JsonResponse:
    """`json_error` in the words of the surface that the path belongs to."""
    return json_error(message, code, status, detail, surface=surface_of(path))
