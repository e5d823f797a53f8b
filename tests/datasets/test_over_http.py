"""The same over a real server and real sockets: an early answer is seen, and a cut result looks cut."""

from __future__ import annotations

import gc
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from django.core.asgi import get_asgi_application
from django.db import OperationalError

from datasets import export
from datasets.intake import UploadDoor
from datasets.models import Job, Upload
from tests.datasets.asgi import BOUNDARY, form
from tests.datasets.test_export import answered

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def port() -> Iterator[int]:
    """A server with the door before Django, on a free port."""
    door, django = UploadDoor(), get_asgi_application()

    async def site(scope: Any, receive: Any, send: Any) -> None:
        await (door if door.owns(scope) else django)(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(site, port=0, lifespan="off", log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(timeout=10)
    gc.collect()


def upload(port: int, key: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Send everything first, then look at the answer, as most programs do."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    sent = {
        "Authorization": f"Bearer {key}",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
    } | headers
    connection.request(
        "POST", "/api/dataset/upload", body, sent, encode_chunked="Transfer-Encoding" in headers
    )
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


def test_an_upload_is_taken(port: int, keys: dict[str, str]) -> None:
    lines = b'{"instruction": "a"}\n' * 50_000

    status, answer = upload(port, keys["otto"], form(lines))
    assert (status, answer["total"]) == (201, 50_000)
    chunks = (lines[start : start + 60_000] for start in range(0, len(lines), 60_000))
    head, tail = form(b"x").split(b"x\r\n--", 1)
    pieces = iter([head, *chunks, b"\r\n--" + tail])
    assert upload(port, keys["otto"], pieces, **{"Transfer-Encoding": "chunked"})[0] == 201
    assert Job.objects.count() == 2


@pytest.mark.parametrize(("who", "status"), [("otto", 400), ("vera", 403)])
def test_a_client_that_sends_all_before_it_reads_sees_an_early_no(
    port: int, keys: dict[str, str], who: str, status: int
) -> None:
    body = form(b'[{"instruction": 3},' + b'{"instruction": "a"},' * 1_000_000 + b"]")

    found, answer = upload(port, keys[who], body)
    assert (found, "error" in answer) == (status, True)
    assert not Upload.objects.exists()


# Django leaves the request's spool file to the garbage collector when an answer breaks off.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_result_that_cannot_be_finished_looks_cut(
    port: int, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = answered(30, size=500)
    monkeypatch.setattr(export, "PAGE_CHARACTERS", 2000)
    monkeypatch.setattr(export, "AWAY_S", 0.1)
    real = export.export_page
    pages: list[dict[str, Any]] = []

    def away(**options: Any) -> tuple[bytes, int | None]:
        pages.append(options)
        if len(pages) > 2:
            raise OperationalError("gone")
        return real(**options)

    monkeypatch.setattr(export, "export_page", away)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    path = f"/api/dataset/result/{job.id}"
    connection.request("GET", path, headers={"Authorization": f"Bearer {keys['otto']}"})
    response = connection.getresponse()

    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()
