"""The upload door: what makes a job, what is refused and in which words, and that nothing is left of the refused."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import uuid
import zlib
from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django_q.models import OrmQ
from pytest_django import Settings

from accounts.models import User
from accounts.services import key_create
from datasets import intake, reception
from datasets.intake import UploadDoor
from datasets.models import Item, Job, Upload, UploadPart
from datasets.options import JobOptions
from dpl_site.lib import answering
from dpl_site.lib.db import call
from tests.datasets.asgi import Answer, Pieces, form, post
from tests.datasets.making import an_engine, an_instance

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = [{"instruction": f"say {number} 你好", "id": number} for number in range(1000)]
PATHS = ["/api/dataset/upload", "/api/v1/jobs/", "/api/v1/jobs"]

Upload_ = Callable[..., Any]


@pytest.fixture
def upload(keys: dict[str, str]) -> Upload_:
    """Upload a file as otto."""

    async def send(
        file: bytes | None, *, headers: Mapping[str, str] | None = None, size: int = 64, **fields: str
    ) -> Answer:
        shown = {"Authorization": f"Bearer {keys['otto']}"} | dict(headers or {})
        return await post(UploadDoor(), PATHS[0], form(file, **fields), headers=shown, size=size)

    return send


def nothing_is_left() -> bool:
    """Whether no trace of any upload is in the database."""
    kinds = (Upload, UploadPart, Job, Item, OrmQ)
    return not any(kind.objects.exists() for kind in kinds)


def stored_rows() -> list[str]:
    parts = UploadPart.objects.order_by("sequence")
    return [line for part in parts for line in zlib.decompress(bytes(part.packed)).decode().split("\n")]


@pytest.mark.parametrize("path", PATHS)
async def test_it_makes_a_job_of_a_json_array(keys: dict[str, str], path: str) -> None:
    headers = {"Authorization": f"Bearer {keys['otto']}"}
    answer = await post(UploadDoor(), path, form(json.dumps(ROWS).encode()), headers=headers)

    job = await call(Job.objects.select_related("owner").get)
    assert (answer.status, answer.is_over) == (201, True)
    assert answer.json == {"job_id": job.id, "status": "importing", "total": 1000}
    assert (job.owner.username, job.name, job.total) == ("otto", "data.json", 1000)
    assert [json.loads(row) for row in await call(stored_rows)] == ROWS


@pytest.mark.parametrize("size", [1, 7, 4096, 10**6])
async def test_it_makes_the_same_job_however_the_bytes_arrive(upload: Upload_, size: int) -> None:
    rows = ROWS[:40]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()

    assert (await upload(lines, size=size)).json["total"] == 40
    assert [json.loads(row) for row in await call(stored_rows)] == rows


async def test_it_stores_what_is_checked_while_the_rest_arrives(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH", 4096)
    body = form(json.dumps(ROWS).encode())
    request = Pieces([body[start : start + 4096] for start in range(0, len(body), 4096)])
    seen: list[int] = []

    async def receive() -> dict[str, Any]:
        message = await request.receive()
        seen.append(await call(UploadPart.objects.count))
        return message

    headers = {"Authorization": f"Bearer {keys['otto']}"}
    watched = Pieces([])
    watched.receive = receive  # type: ignore[method-assign]  # the same request, with an eye on the table
    answer = await post(UploadDoor(), PATHS[0], watched, headers=headers)

    assert answer.status == 201
    assert 0 < seen[-2] <= 4


async def test_it_takes_every_field_and_names_those_that_mean_nothing(upload: Upload_) -> None:
    node = (await call(an_engine, "fast")).node_id
    answer = await upload(
        json.dumps(ROWS).encode(),
        name="诗",
        model="llama3:8b",
        limit="300",
        system="Be brief.",
        options='{"temperature": 0}',
        attempts="2",
        timeout_s="30",
        nodes=str(node),
        exclusive="true",
        color="red",
    )

    job = await call(Job.objects.get)
    assert answer.json == {"job_id": job.id, "status": "importing", "total": 300, "ignored": ["color"]}
    assert job.name == "诗"
    assert JobOptions.from_json(job.options) == JobOptions(
        "llama3:8b", 300, "Be brief.", {"temperature": 0}, 2, 30.0, (node,), True
    )
    assert len(await call(stored_rows)) == 300


def deep(levels: int) -> str:
    return '{"instruction": "x", "a": ' + "[" * levels + "]" * levels + "}"


BAD_FILES: dict[str, tuple[bytes, int | None, str | None]] = {
    "empty file": (b"", None, None),
    "not JSON": (b"hello there", None, None),
    "not an array": (b'"text"', None, None),
    "empty array": (b"[]", None, None),
    "truncated within a row": (json.dumps(ROWS).encode()[:-40], 999, None),
    "truncated between rows": (b'[{"instruction": "a"},', 1, None),
    "neither instruction nor messages": (b'[{"instruction": "a"}, {"input": "b"}]', 1, "instruction"),
    "a number where a text belongs": (b'[{"instruction": "a"}, {"instruction": 3}]', 1, "instruction"),
    "a number as input": (b'[{"instruction": "a", "input": 3}]', 0, "input"),
    "an empty instruction": (b'[{"instruction": " "}]', 0, "instruction"),
    "messages that are none": (b'[{"messages": "hi"}]', 0, "messages"),
    "a message without a role": (b'[{"messages": [{"content": "hi"}]}]', 0, "messages[0].role"),
    "10 MB in one field": (b'[{"instruction": "' + b"x" * 10_000_000 + b'"}]', 0, None),
    "10 MB in one field of the second row": (
        b'[{"instruction": "a"}, {"instruction": "' + b"x" * 10_000_000 + b'"}]',
        1,
        None,
    ),
    "deep nesting": (f"[{deep(500)}]".encode(), 0, None),
    "bottomless nesting": (f"[{deep(100_000)}]".encode(), 0, None),
    "NUL": (b'[{"instruction": "a"}, {"instruction": "a\\u0000b"}]', 1, None),
    "a lone surrogate": (b'[{"instruction": "a\\ud800b"}]', 0, None),
    "UTF-16": ('[{"instruction": "a"}]'.encode("utf-16"), None, None),
    "latin-1": ('[{"instruction": "a"}, {"instruction": "é"}]'.encode("latin-1"), None, None),
    "duplicate keys": (b'[{"instruction": "a"}, {"instruction": "b", "instruction": "c"}]', 1, "instruction"),
    "NaN": (b'[{"instruction": "a", "score": NaN}]', 0, None),
    "a row that is no object": (b'[{"instruction": "a"}, 7]', 1, None),
    "text after the array": (b'[{"instruction": "a"}] x', 1, None),
    "one bad line among good ones": (
        b'{"instruction": "a"}\n{"instruction": "b"\n{"instruction": "c"}\n',
        1,
        None,
    ),
}


@pytest.mark.parametrize("what", BAD_FILES)
async def test_it_refuses_a_bad_file_and_leaves_nothing_behind(upload: Upload_, what: str) -> None:
    file, row, field = BAD_FILES[what]
    answer = await upload(file, size=65536)

    error = answer.json["error"]
    assert (answer.status, answer.is_over) == (400, True), error
    assert len(error["message"]) > 10
    assert len(error["message"]) < 500
    assert error["code"]
    if row is not None:
        assert error["detail"]["row"] == row
    if field is not None:
        assert error["detail"]["field"] == field
    assert await call(nothing_is_left)


async def test_it_names_the_row_that_is_bad_after_thousands_of_good_ones(upload: Upload_) -> None:
    rows = [*ROWS * 5, {"instruction": 17}]
    answer = await upload(json.dumps(rows).encode(), size=4096)

    assert answer.json["error"]["detail"] == {"row": 5000, "field": "instruction"}
    assert "5000" in answer.json["error"]["message"]
    assert await call(nothing_is_left)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"limit": "none"}, "limit"),
        ({"options": "{"}, "options"),
        ({"nodes": "99"}, "nodes"),
        ({"name": "n" * 300}, "name"),
        ({"timeout_s": "0"}, "timeout_s"),
    ],
)
async def test_it_refuses_a_field_that_comes_after_the_file_and_leaves_nothing_behind(
    upload: Upload_, fields: dict[str, str], field: str
) -> None:
    answer = await upload(json.dumps(ROWS).encode(), size=4096, **fields)

    assert (answer.status, answer.json["error"]["detail"]["field"]) == (400, field)
    assert await call(nothing_is_left)


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"[]", {"content-type": "application/json"}, 415, "not_multipart"),
        (b"[]", {"content-type": ""}, 415, "not_multipart"),
        (b"x", {"content-type": "multipart/form-data"}, 400, "no_boundary"),
        (b"garbage", {}, 400, "bad_multipart"),
        (form(None, model="m"), {}, 400, "no_file"),
        (form(b'[{"instruction": "a"}]')[:-20], {}, 400, "cut_off"),
        (b"", {}, 400, "cut_off"),
    ],
)
async def test_it_refuses_what_is_no_upload(
    keys: dict[str, str], body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    shown = {"Authorization": f"Bearer {keys['otto']}"} | headers
    answer = await post(UploadDoor(), PATHS[0], body, headers=shown)

    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert await call(nothing_is_left)


async def test_it_refuses_too_large_an_upload_before_reading_it(
    keys: dict[str, str], settings: Settings
) -> None:
    settings.DPL_MAX_UPLOAD_MB = 1
    request = Pieces([b"x" * 1000] * 3)
    headers = {"Authorization": f"Bearer {keys['otto']}", "Content-Length": str(2**20 + 1)}
    answer = await post(UploadDoor(), PATHS[0], request, headers=headers)

    assert (answer.status, answer.json["error"]["code"]) == (413, "too_large")
    assert "1 MB" in answer.json["error"]["message"]
    assert "DPL_MAX_UPLOAD_MB" in answer.json["error"]["message"]
    assert await call(nothing_is_left)


async def test_it_counts_what_arrives_when_no_size_was_announced(
    keys: dict[str, str], settings: Settings
) -> None:
    settings.DPL_MAX_UPLOAD_MB = 1
    row = b'{"instruction": "' + b"x" * 60_000 + b'"}\n'
    request = Pieces([form(b"").removesuffix(b"\r\n--a-boundary--\r\n"), *[row] * 40])
    headers = {"Authorization": f"Bearer {keys['otto']}"}
    answer = await post(UploadDoor(), PATHS[0], request, headers=headers)

    assert answer.status == 413
    assert await call(nothing_is_left)


_Usage = namedtuple("_Usage", "total used free")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the server's disk is not asked for PostgreSQL")
@pytest.mark.parametrize("free_mb", [255, 256])
async def test_it_refuses_an_upload_for_which_the_disk_has_no_room(
    upload: Upload_, monkeypatch: pytest.MonkeyPatch, free_mb: int
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage(10**12, 0, free_mb * 2**20))
    answer = await upload(json.dumps(ROWS).encode(), size=4096)

    assert (answer.status, answer.json["error"]["code"]) == (507, "no_space")
    assert "DPL_MIN_FREE_DISK_MB" in answer.json["error"]["message"]
    assert await call(nothing_is_left)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the server's disk is not asked for PostgreSQL")
async def test_it_notices_that_the_disk_fills_up_while_it_reads(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([2**40, 1000])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage(2**40, 0, next(free)))
    body = form(json.dumps(ROWS).encode())
    request = Pieces([body[start : start + 8192] for start in range(0, len(body), 8192)])
    headers = {"Authorization": f"Bearer {keys['otto']}"}
    answer = await post(UploadDoor(), PATHS[0], request, headers=headers)

    assert answer.status == 507
    assert await call(nothing_is_left)


@pytest.mark.parametrize("after", [0, 1, 5])
async def test_nothing_is_left_when_the_client_leaves(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(intake, "BATCH", 4096)
    body = form(json.dumps(ROWS).encode())
    request = Pieces([body[start : start + 8192] for start in range(0, after * 8192, 8192)], leaves=True)
    headers = {"Authorization": f"Bearer {keys['otto']}", "Content-Length": str(len(body))}
    answer = await post(UploadDoor(), PATHS[0], request, headers=headers)

    assert answer.status == 0
    assert await call(nothing_is_left)


async def test_it_gives_up_on_a_client_that_falls_silent(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "IDLE_S", 0.05)
    monkeypatch.setattr(answering, "DRAIN_S", 0.05)
    request = Pieces([form(json.dumps(ROWS).encode())[:5000]], hangs=True)
    headers = {"Authorization": f"Bearer {keys['otto']}"}
    answer = await post(UploadDoor(), PATHS[0], request, headers=headers)

    assert (answer.status, answer.json["error"]["code"]) == (408, "upload_timeout")
    assert answer.headers["connection"] == "close"
    assert await call(nothing_is_left)


async def test_nothing_is_left_when_the_server_stops_in_the_middle(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH", 4096)
    body = form(json.dumps(ROWS).encode())
    request = Pieces([body[start : start + 8192] for start in range(0, 6 * 8192, 8192)], hangs=True)
    headers = {"Authorization": f"Bearer {keys['otto']}"}
    task = asyncio.create_task(post(UploadDoor(), PATHS[0], request, headers=headers))
    async with asyncio.timeout(5):
        await request.is_hanging.wait()
    assert await call(UploadPart.objects.exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await call(nothing_is_left)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("a defect"), 500, "internal_error"),
        (OperationalError("database or disk is full"), 507, "no_space"),
        (OperationalError("server closed the connection"), 503, "database_away"),
    ],
)
async def test_nothing_is_left_when_something_breaks(
    upload: Upload_, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    def broken(**_: object) -> Job:
        raise error

    monkeypatch.setattr(reception, "job_create", broken)
    answer = await upload(json.dumps(ROWS).encode(), size=4096)

    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert "Traceback" not in answer.body.decode()
    assert await call(nothing_is_left)


async def test_it_reads_the_rest_after_an_early_answer_so_that_the_client_sees_it(
    keys: dict[str, str],
) -> None:
    body = form(b"[7" + b" " * 2_000_000 + b"]")
    request = Pieces([body[start : start + 65536] for start in range(0, len(body), 65536)])
    headers = {"Authorization": f"Bearer {keys['otto']}"}
    answer = await post(UploadDoor(), PATHS[0], request, headers=headers)

    assert (answer.status, answer.is_over) == (400, True)
    assert request.taken == len(request.pieces)


async def test_it_notes_which_process_receives_an_upload(
    upload: Upload_, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = await call(an_instance, "web")
    monkeypatch.setattr(intake, "instance_id", lambda: web.id)
    await upload(json.dumps(ROWS).encode(), size=4096)

    assert await call(Upload.objects.values_list("instance_id", flat=True).get) == web.id


async def test_it_parses_beside_the_event_loop(upload: Upload_, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, close = reception.Reception.feed, reception.Reception.close
    threads = set()

    def noted(real: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*args: Any) -> Any:
            threads.add(threading.current_thread())
            return real(*args)

        return inner

    monkeypatch.setattr(reception.Reception, "feed", noted(feed))
    monkeypatch.setattr(reception.Reception, "close", noted(close))
    answer = await upload(json.dumps(ROWS).encode(), size=4096)

    assert answer.status == 201
    assert threading.current_thread() not in threads


async def test_it_refuses_who_may_not_and_says_why(keys: dict[str, str], people: dict[str, User]) -> None:
    async def status(headers: dict[str, str]) -> tuple[int, str]:
        answer = await post(UploadDoor(), PATHS[0], form(b'[{"instruction": "a"}]'), headers=headers)
        return answer.status, answer.json["error"]["code"]

    chat_only = (await call(key_create, user=people["otto"], name="x", scopes=["chat"]))[1]
    assert await status({}) == (401, "unauthenticated")
    assert await status({"Authorization": "Bearer dpl_wrong"}) == (401, "invalid_api_key")
    assert await status({"Authorization": f"Bearer {keys['vera']}"}) == (403, "missing_scope")
    assert await status({"Authorization": f"Bearer {chat_only}"}) == (403, "missing_scope")
    assert await call(nothing_is_left)


async def test_it_takes_a_session_only_with_its_csrf_token(people: dict[str, User]) -> None:
    client = Client()
    await call(client.force_login, people["otto"])
    token = "t" * 32
    cookies = f"sessionid={client.cookies['sessionid'].value}; csrftoken={token}"
    file = form(b'[{"instruction": "a"}]')

    refused = await post(UploadDoor(), PATHS[0], file, headers={"Cookie": cookies})
    wrong = await post(UploadDoor(), PATHS[0], file, headers={"Cookie": cookies, "X-CSRFToken": "u" * 32})
    taken = await post(UploadDoor(), PATHS[0], file, headers={"Cookie": cookies, "X-CSRFToken": token})

    assert (refused.status, refused.json["error"]["code"]) == (403, "csrf_failed")
    assert wrong.status == 403
    assert taken.status == 201


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_it_answers_other_methods_in_json(method: str) -> None:
    answer = await post(UploadDoor(), PATHS[0], b"", method=method)

    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.json["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("method", "path", "is_owned"),
    [
        ("POST", "/api/dataset/upload", True),
        ("GET", "/api/dataset/upload", True),
        ("OPTIONS", "/api/dataset/upload", False),
        ("POST", "/api/dataset/upload/", False),
        ("POST", "/api/v1/jobs/", True),
        ("POST", "/api/v1/jobs", True),
        ("GET", "/api/v1/jobs/", False),
        ("POST", "/api/v1/jobs/x/stop", False),
    ],
)
def test_it_owns_its_paths_alone(method: str, path: str, is_owned: bool) -> None:
    assert UploadDoor().owns({"type": "http", "method": method, "path": path}) is is_owned
    assert not UploadDoor().owns({"type": "websocket", "path": path})


async def test_its_answers_carry_the_headers_that_all_others_do(upload: Upload_, settings: Settings) -> None:
    settings.DPL_CORS_ORIGINS = ["https://tools.example"]
    headers = {"X-Request-ID": "abc-123", "Origin": "https://tools.example"}
    mine = (await upload(b"[]", headers=headers)).headers
    foreign = (await upload(b"[]", headers={"Origin": "https://else.example"})).headers

    assert mine["x-request-id"] == "abc-123"
    assert mine["content-type"] == "application/json"
    assert mine["access-control-allow-origin"] == "https://tools.example"
    assert mine["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in foreign
    assert uuid.UUID(foreign["x-request-id"])
