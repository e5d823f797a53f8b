"""The request's id and the headers that every answer carries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory

from dpl_site.lib import trace
from dpl_site.middleware import RequestIdMiddleware

pytestmark = [pytest.mark.urls("tests.site.urls"), pytest.mark.django_db]


@pytest.mark.parametrize("offered", ["abc", "0af7651916cd43dd8448eb211c80319c", "a.b:c-d_e", "x" * 64])
def test_a_sane_id_is_taken_over(offered: str) -> None:
    assert Client().get("/login/", headers={"X-Request-ID": offered})["X-Request-ID"] == offered


@pytest.mark.parametrize("offered", ["", "x" * 65, "a b", "a\tb", "<script>", "é", "a\n"])
def test_another_one_is_replaced(offered: str) -> None:
    answered = Client().get("/login/", headers={"X-Request-ID": offered})["X-Request-ID"]
    assert answered != offered
    assert len(answered) == 32


def test_each_request_gets_an_id_of_its_own() -> None:
    assert len({Client().get("/login/")["X-Request-ID"] for _ in range(5)}) == 5


def test_views_and_log_lines_know_the_id_and_nobody_does_afterwards() -> None:
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append((request.__dict__["request_id"], trace.request_id.get()))
        return HttpResponse()

    RequestIdMiddleware(view)(RequestFactory().get("/", headers={"X-Request-ID": "r-1"}))
    assert seen == [("r-1", "r-1")]
    assert trace.request_id.get() == ""


async def test_it_stays_in_the_event_loop() -> None:
    seen = []

    async def view(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        seen.append(trace.request_id.get())
        return HttpResponse()

    middleware = RequestIdMiddleware(view)

    async def ask(name: str) -> None:
        answer = middleware(RequestFactory().get("/", headers={"X-Request-ID": name}))
        assert isinstance(answer, Awaitable)
        await answer

    await asyncio.gather(ask("r-1"), ask("r-2"))
    assert sorted(seen) == ["r-1", "r-2"]


async def test_the_whole_chain_answers_in_the_event_loop() -> None:
    response = await AsyncClient().get("/nowhere", headers={"X-Request-ID": "r-1"})
    assert (response.status_code, response["X-Request-ID"]) == (404, "r-1")


@pytest.mark.parametrize("path", ["/login/", "/api/nowhere", "/nowhere"])
def test_every_answer_carries_the_security_headers(path: str) -> None:
    response = Client().get(path)
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in response["Permissions-Policy"]
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]


def test_answers_for_programs_are_not_kept_by_caches() -> None:
    assert Client().get("/api/nowhere")["Cache-Control"] == "no-store"
    assert "Cache-Control" not in Client().get("/nowhere").headers
