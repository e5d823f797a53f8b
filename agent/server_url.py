"""What people paste as DPL's address, read as a base URL. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

DEFAULT_PORT = 8000
_EXAMPLE = "write it like http://192.168.1.10:8000"


def server_base_url(written: str) -> str:
    """The server's address as scheme://host:port[/prefix], or ValueError saying what is wrong."""
    text = written.strip().strip("\"'`<>").strip()
    if not text or not text.isascii() or re.search(r"[\s\x00-\x1f\x7f\\]", text):
        raise ValueError(f"this is no address: {_EXAMPLE}")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"this is no address ({error}): {_EXAMPLE}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(f"this is no address of a web server: {_EXAMPLE}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"an address has no user name, ? or # in it: {_EXAMPLE}")
    shown = f"[{host}]" if ":" in host else host
    if port is None:
        # Behind a scheme that somebody wrote there is often a proxy on the scheme's own port.
        port = 443 if parts.scheme == "https" else (80 if "://" in text else DEFAULT_PORT)
    return f"{parts.scheme}://{shown}:{port}{parts.path.rstrip('/')}"
