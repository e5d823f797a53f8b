"""What people paste as an engine's address, read as a base URL and what it hints at. Pure."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

MAX_LENGTH = 500
_EXAMPLE = "Write it like http://192.168.1.20:11434."
# A bare host means Ollama's port, as Ollama itself reads OLLAMA_HOST; a URL means its scheme's port.
_OLLAMA_PORT = 11434
_SCHEME_PORTS = {"http": 80, "https": 443}
_OLLAMA_ENDS = re.compile(
    r"/api(/(chat|generate|tags|ps|show|version|embed|embeddings|pull|push|create|copy|delete))?$", re.I
)
_OPENAI_ENDS = re.compile(
    r"/(v1(/(chat/completions|completions|embeddings|models|responses))?|(api/)?chat/completions)$", re.I
)
_CHAT_PATHS = ("/api/chat", "/api/generate", "/v1/chat/completions")


class LlmUrlError(ValueError):
    """Text that is no engine's address. `message` says what is wrong and what to write."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Pasted:
    """An address as it was meant.

    `base_url` is canonical: scheme://host:port[/prefix], without `/v1` or `/api`. `hint_kind` is `ollama` or
    `openai` where the pasted path tells. `hint_chat_path` is the path that generates, where it was pasted.
    """

    base_url: str
    hint_kind: str | None = None
    hint_chat_path: str | None = None


def parse_llm_url(text: str) -> Pasted:
    """Read what somebody pasted. Raises LlmUrlError."""
    written = unicodedata.normalize("NFKC", text).strip().strip("\"'`<>“”‘’«»„").strip()
    parts = _split(written)
    prefix, kind, chat_path = _path(parts.path)
    base_url = f"{parts.scheme}://{_host(parts)}:{_port(parts, has_scheme='://' in written)}{prefix}"
    if len(base_url) > MAX_LENGTH:
        raise LlmUrlError(f"The address is longer than {MAX_LENGTH} characters. {_EXAMPLE}")
    return Pasted(base_url, kind, chat_path)


def _split(written: str) -> SplitResult:
    if not written:
        raise LlmUrlError(f"The address is empty. {_EXAMPLE}")
    if re.search(r"[\s\x00-\x1f\x7f\\]", written):
        raise LlmUrlError(f"An address has no spaces or backslashes in it. {_EXAMPLE}")
    try:
        parts = urlsplit(written if "://" in written else f"http://{written.removeprefix('//')}")
    except ValueError as error:
        raise LlmUrlError(f"This is not an address: {error}. {_EXAMPLE}") from error
    if parts.scheme not in _SCHEME_PORTS:
        raise LlmUrlError(f"The address starts with {parts.scheme}://; engines speak http:// or https://.")
    if "@" in parts.netloc:
        raise LlmUrlError(
            "Leave user name and password out of the address; a key goes into the key's own field."
        )
    if parts.query:
        raise LlmUrlError(
            "Leave out the question mark and what follows; a key goes into the key's own field."
        )
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if "[" not in parts.netloc and parts.netloc.count(":") > 1:
        raise LlmUrlError("Put an IPv6 address in brackets, like http://[fd00::20]:11434.")
    if not host:
        raise LlmUrlError(f"The address names no machine. {_EXAMPLE}")
    if ":" in host:
        return f"[{_ipv6(host)}]"
    if re.fullmatch(r"[0-9.]+|0x[0-9a-f.x]+", host) and not _is_ipv4(host):
        raise LlmUrlError(f"{host} is not an IPv4 address: write its four numbers. {_EXAMPLE}")
    try:
        ascii_host = host.encode("idna").decode("ascii").rstrip(".")
    except UnicodeError as error:
        raise LlmUrlError(f"{host} is not a machine's name. {_EXAMPLE}") from error
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", ascii_host):
        raise LlmUrlError(f"{host} is not a machine's name. {_EXAMPLE}")
    return ascii_host


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _ipv6(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError as error:
        raise LlmUrlError(f"{host} is not an IPv6 address. Write it like http://[fd00::20]:11434.") from error
    if address.scope_id:
        raise LlmUrlError(
            f"Leave out the zone %{address.scope_id}, or use the machine's address in your network."
        )
    return str(address)


def _port(parts: SplitResult, *, has_scheme: bool) -> int:
    try:
        port = parts.port
    except ValueError as error:
        raise LlmUrlError(f"The port is not a number from 1 to 65535. {_EXAMPLE}") from error
    if port == 0:
        raise LlmUrlError(f"The port is not a number from 1 to 65535. {_EXAMPLE}")
    return port or (_SCHEME_PORTS[parts.scheme] if has_scheme else _OLLAMA_PORT)


def _path(path: str) -> tuple[str, str | None, str | None]:
    """The prefix in front of an engine's own paths, and what the rest hints at."""
    clean = re.sub(r"/{2,}", "/", path).rstrip("/")
    if any(segment in (".", "..") for segment in clean.split("/")):
        raise LlmUrlError(f"The address has dots for folders in its path. {_EXAMPLE}")
    for kind, ends in (("openai", _OPENAI_ENDS), ("ollama", _OLLAMA_ENDS)):
        found = ends.search(clean)
        if found:
            chat_path = found.group(0).lower()
            return clean[: found.start()], kind, chat_path if chat_path in _CHAT_PATHS else None
    return clean, None, None
