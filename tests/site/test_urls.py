"""The site's real paths: every one but the open ones asks who is there, and answers programs in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver

from dpl_site.lib.refusals import is_machine_path

pytestmark = pytest.mark.django_db

OPEN = {"/login/", "/logout/", "/health", "/ready", "/i18n/setlang/"}
# A machine that joins has neither a key nor a session: it shows the token of an invitation.
OPEN |= {"/agent/1", "/api/v1/agents/join", "/api/v1/agents/join/"}
SAMPLES = dict.fromkeys(("job_id", "conversation"), "019a0000-0000-7000-8000-000000000000")


def patterns(found: list[Any], before: str = "") -> Iterator[str]:
    """Every pattern outside Django's admin, which has a login of its own."""
    for entry in found:
        spelled = before + str(entry.pattern).removeprefix("^").removesuffix("$")
        if isinstance(entry, URLResolver):
            if entry.app_name != "admin":
                yield from patterns(entry.url_patterns, spelled)
        else:
            yield spelled


def sample(pattern: str) -> str:
    """A path that a pattern takes: ids are filled in, and an optional slash is left out."""
    named = re.sub(r"\(\?P<(\w+)>[^)]*\)|<(?:\w+:)?(\w+)>", lambda m: SAMPLES.get(m[1] or m[2], "1"), pattern)
    return "/" + named.replace("/?", "")


PATHS = sorted({sample(pattern) for pattern in patterns(get_resolver("dpl_site.urls").url_patterns)})


def test_there_are_paths_to_knock_at() -> None:
    assert {"/api/v1/keys", "/api/v1/keys/1", "/password/", "/health", "/ready", "/api/docs"} <= set(PATHS)


@pytest.mark.parametrize("path", [path for path in PATHS if path not in OPEN])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_stranger_comes_in_nowhere(path: str, method: str) -> None:
    response = Client().generic(method, path)
    leads_to_login = response.status_code == 302 and response["Location"].startswith("/login/")
    assert leads_to_login or response.status_code in (401, 405), response.status_code
    if is_machine_path(path) and not leads_to_login:
        assert response["Content-Type"] == "application/json"
        assert "error" in response.json()


def test_health_is_open() -> None:
    response = Client().get("/health")
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
