"""Limits of keys at the door: told in the client's dialect, shared by the web processes; and floods of wrong keys."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from accounts.keys import new_key
from accounts.models import ApiKey, KeyUse, User
from accounts.services import key_create
from inference.models import RequestLog
from tests.datasets.making import an_engine
from tests.inference.serving import served, until
from tests.machines import engine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CHAT, OLLAMA_CHAT = "/v1/chat/completions", "/api/chat"
BODY = {"model": "m", "stream": False, "messages": [{"role": "user", "content": "say it again"}]}


@pytest.fixture
def site(people: dict[str, User]) -> Iterator[str]:
    with engine(models=("m",), echo=True) as url:
        an_engine("fast", url, slots=4)
        with served() as address:
            yield address


def limited(people: dict[str, User], **limits: int) -> dict[str, str]:
    """The headers of a new key of otto's."""
    return {"Authorization": f"Bearer {key_create(user=people['otto'], name='ci', limits=limits)[1]}"}


def test_over_the_limit_it_is_429_in_the_clients_dialect(site: str, people: dict[str, User]) -> None:
    headers = limited(people, requests_per_day=2)
    first = httpx.post(site + CHAT, json=BODY, headers=headers)
    assert (first.status_code, first.headers["x-ratelimit-remaining-requests"]) == (200, "1")
    assert httpx.post(site + CHAT, json=BODY, headers=headers).status_code == 200
    over = httpx.post(site + CHAT, json=BODY, headers=headers)
    assert over.status_code == 429
    assert 1 <= int(over.headers["retry-after"]) <= 86_400
    assert over.headers["x-ratelimit-remaining-requests"] == "0"
    error = over.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limited")
    ollama = httpx.post(site + OLLAMA_CHAT, json=BODY, headers=headers)
    assert (ollama.status_code, "2 requests a day" in ollama.json()["error"]) == (429, True)
    until(lambda: RequestLog.objects.count() == 2)


def test_tokens_are_limited_by_what_earlier_requests_used(site: str, people: dict[str, User]) -> None:
    headers = limited(people, tokens_per_day=3)
    assert httpx.post(site + CHAT, json=BODY, headers=headers).status_code == 200
    assert httpx.post(site + CHAT, json=BODY, headers=headers).status_code == 429


def test_a_key_without_limits_has_none(site: str, keys: dict[str, str]) -> None:
    answer = httpx.post(site + CHAT, json=BODY, headers={"Authorization": f"Bearer {keys['otto']}"})
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


def test_two_web_processes_share_a_limit(site: str, people: dict[str, User]) -> None:
    headers = limited(people, requests_per_day=40)
    with (
        served() as other,
        httpx.Client(headers=headers, timeout=30) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        addresses = [(site, other)[number % 2] + OLLAMA_CHAT for number in range(120)]
        answers = list(pool.map(lambda address: client.post(address, json=BODY).status_code, addresses))
    assert set(answers) == {200, 429}
    # What one process holds and does not use is not there for the other until it goes back.
    assert 30 <= answers.count(200) <= 40
    until(lambda: KeyUse.objects.get(seconds=86_400).requests == answers.count(200))


def test_ten_thousand_wrong_keys_hold_up_nobody(site: str, keys: dict[str, str]) -> None:
    good = {"Authorization": f"Bearer {keys['otto']}"}
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(16) as pool:

        def knock(_: int) -> int:
            wrong = {"Authorization": f"Bearer {new_key().plain}"}
            return client.post(site + CHAT, content=b"", headers=wrong).status_code

        flood = [pool.submit(knock, number) for number in range(10_000)]
        answers = [client.post(site + CHAT, json=BODY, headers=good).status_code for _ in range(20)]
        assert {one.result() for one in flood} == {401}
    assert set(answers) == {200}
    assert len([one for one in threading.enumerate() if one.name.startswith("keys")]) <= 2
    assert ApiKey.objects.count() == len(keys)
    assert RequestLog.objects.count() <= 20
