"""What people paste as an agent's address, read as a base URL. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

DEFAULT_PORT = 8001
MAX_LENGTH = 500
_EXAMPLE = "Write it like http://192.168.1.20:8001."
_OWN_PATHS = re.compile(r"/(status|lock|unlock|metrics|api/health|api/info)?/*$")


class AgentUrlError(ValueError):
    """Text that is no agent's address. `message` says what is wrong and what to write."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def parse_agent_url(text: str) -> str:
    """The address as scheme://host:port[/prefix], without the agent's own paths. Raises AgentUrlError."""
    written = text.strip().strip("\"'`<>").strip()
    if not written or re.search(r"[\s\x00-\x1f\x7f\\]", written):
        raise AgentUrlError(f"The agent's address is empty or has spaces in it. {_EXAMPLE}")
    try:
        parts = urlsplit(written if "://" in written else f"http://{written}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AgentUrlError(f"The agent's address cannot be read: {error}. {_EXAMPLE}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise AgentUrlError(f"{written} is not an agent's address. {_EXAMPLE}")
    if "@" in parts.netloc or parts.query:
        raise AgentUrlError(
            "Leave user name and query out of the agent's address; its token has its own field."
        )
    shown = f"[{host}]" if ":" in host else host
    if port is None:
        port = DEFAULT_PORT if parts.scheme == "http" else 443
    base_url = f"{parts.scheme}://{shown}:{port}{_OWN_PATHS.sub('', parts.path)}"
    if len(base_url) > MAX_LENGTH:
        raise AgentUrlError(f"The agent's address is longer than {MAX_LENGTH} characters. {_EXAMPLE}")
    return base_url
