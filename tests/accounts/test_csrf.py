"""Changes that a session cookie vouches for, on plain ASGI connections."""

from __future__ import annotations

from typing import Any

import pytest
from django.middleware.csrf import get_token
from django.test import RequestFactory

from accounts.csrf import refusal_of_scope


@pytest.fixture
def token() -> str:
    """A token as our pages hold it; it is the cookie's value too."""
    return get_token(RequestFactory().get("/"))


def scope(method: str = "POST", scheme: str = "http", **headers: str) -> dict[str, Any]:
    pairs = {"host": "dpl.example"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "type": "http",
        "method": method,
        "path": "/api/dataset/upload",
        "scheme": scheme,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in pairs.items()],
    }


def test_the_token_in_the_header_lets_the_change_pass(token: str) -> None:
    assert refusal_of_scope(scope(cookie=f"csrftoken={token}", x_csrftoken=token)) is None


def test_a_cookie_alone_is_refused(token: str) -> None:
    reason = refusal_of_scope(scope(cookie=f"csrftoken={token}"))
    assert reason is not None
    assert "CSRF token missing" in reason


def test_a_token_without_its_cookie_is_refused(token: str) -> None:
    assert "cookie not set" in str(refusal_of_scope(scope(x_csrftoken=token)))


def test_another_token_is_refused(token: str) -> None:
    other = ("a" if token[-1] != "a" else "b").join([token[:-1], ""])
    assert "incorrect" in str(refusal_of_scope(scope(cookie=f"csrftoken={token}", x_csrftoken=other)))


def test_another_origin_is_refused(token: str) -> None:
    headers = {"cookie": f"csrftoken={token}", "x_csrftoken": token}
    assert refusal_of_scope(scope(origin="http://dpl.example", **headers)) is None
    assert "Origin checking failed" in str(refusal_of_scope(scope(origin="http://evil.example", **headers)))


def test_https_needs_an_origin_or_a_referer(token: str) -> None:
    headers = {"cookie": f"csrftoken={token}", "x_csrftoken": token}
    assert "no Referer" in str(refusal_of_scope(scope(scheme="https", **headers)))
    assert refusal_of_scope(scope(scheme="https", referer="https://dpl.example/jobs/", **headers)) is None


def test_reading_needs_nothing() -> None:
    assert refusal_of_scope(scope("GET")) is None
