"""The connection to the server: kept, opened anew, checked, pinned, and never waited for too long."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.link import MAX_ANSWER, Link, PinError
from agent.wire import WireError
from tests.machines import Asked, Said, dead_url, serving


def post(url: str, **options: Any) -> tuple[int, bytes]:
    """One question over a connection of its own."""
    link = Link(url, **{"timeout_s": 5, **options})
    try:
        return link.post("/", b"")
    finally:
        link.close()


def test_it_posts_json_and_keeps_its_connection() -> None:
    with serving(lambda asked: Said({"n": len(asked.body)})) as server:
        link = Link(server.url + "/dpl", timeout_s=5)
        answers = [link.post("/push", b'{"a":1}', {"Authorization": "Bearer t"}) for _ in range(3)]
        link.close()
    assert [(status, json.loads(body)) for status, body in answers] == [(200, {"n": 7})] * 3
    assert {asked.path for asked in server.asked} == {"/dpl/push"}
    assert len({asked.port for asked in server.asked}) == 1
    assert server.asked[0].headers["Authorization"] == "Bearer t"


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew() -> None:
    hang_up = iter([False, True, False])

    def answer(_: Asked) -> Said:
        return Said({}, hangs_up=next(hang_up))

    with serving(answer) as server:
        link = Link(server.url, timeout_s=5)
        assert link.post("/", b"1")[0] == 200
        assert link.post("/", b"2")[0] == 200
        assert [asked.body for asked in server.asked] == [b"1", b"2", b"2"]
        link.close()


def test_a_server_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(ConnectionRefusedError):
        post(dead_url())


def test_a_server_that_thinks_too_long_is_given_up() -> None:
    with serving(lambda _: Said({}, after_s=3)) as server, pytest.raises(TimeoutError):
        post(server.url, timeout_s=0.1)


def test_an_answer_without_an_end_is_cut_off() -> None:
    with serving(lambda _: Said("x" * (MAX_ANSWER + 1))) as server, pytest.raises(WireError):
        post(server.url)


@contextmanager
def saying(*parts: bytes) -> Iterator[str]:
    """A server that answers one connection with these bytes, one after the other, and ends."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            for part in parts:
                connection.sendall(part)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    "parts",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"{", b"}"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{", b"\r\n1\r\n}\r\n", b"0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n\r\n{", b"}"],
    ],
)
def test_it_reads_an_answer_of_any_framing(parts: list[bytes]) -> None:
    with saying(*parts) as url:
        assert post(url) == (200, b"{}")


@pytest.mark.parametrize("said", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2", b"\x15\x03\x01\x00"])
def test_what_is_not_http_is_told(said: bytes) -> None:
    with saying(said) as url, pytest.raises(WireError):
        post(url)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A certificate of our own making with its key in one file, and its SHA-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dpl.lan")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    signed = made.sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path, hashlib.sha256(signed.public_bytes(serialization.Encoding.DER)).hexdigest()


@contextmanager
def secured(certificate: Path) -> Iterator[str]:
    """A server that speaks TLS with this certificate and answers one question."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        plain, _ = listener.accept()
        try:
            with context.wrap_socket(plain, server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except OSError:
            plain.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.join()
        listener.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: tuple[Path, str]) -> None:
    with secured(certificate[0]) as url, pytest.raises(ssl.SSLCertVerificationError):
        post(url)


def test_a_certificate_that_is_pinned_needs_nobody_to_vouch_for_it(certificate: tuple[Path, str]) -> None:
    with secured(certificate[0]) as url:
        assert post(url, pin=certificate[1]) == (200, b"{}")


def test_another_certificate_than_the_pinned_one_is_refused(certificate: tuple[Path, str]) -> None:
    with secured(certificate[0]) as url, pytest.raises(PinError, match=certificate[1]):
        post(url, pin="0" * 64)
