"""What an API key looks like, and what of it is kept. Pure.

A key is `dpl_` and 40 random characters of a 64-letter alphabet: 240 bits. Nobody can try that many, so a
plain SHA-256 is enough at rest; slow, salted hashes are for passwords, which people choose. Looking a key up
by its digest also leaks nothing by its timing: who can measure it learns about the digest, not the key.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

MARK = "dpl_"
PREFIX_LENGTH = 12
_RANDOM_BYTES = 30
_SHAPE = re.compile(MARK + r"[A-Za-z0-9_-]{40}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: the plain text, shown once, and what is kept of it."""

    plain: str
    digest: str
    prefix: str


def new_key() -> NewKey:
    """A fresh key."""
    plain = MARK + secrets.token_urlsafe(_RANDOM_BYTES)
    return NewKey(plain=plain, digest=digest_of(plain), prefix=plain[:PREFIX_LENGTH])


def is_key(text: str) -> bool:
    """Whether a text has the shape of a key; what has not is refused without asking the database."""
    return _SHAPE.fullmatch(text) is not None


def digest_of(plain: str) -> str:
    """SHA-256 of a key, 64 hexadecimal digits."""
    return hashlib.sha256(plain.encode()).hexdigest()


def key_in(authorization: str | None) -> str | None:
    """What stands behind `Bearer` or `Token` in an Authorization header; None under any other scheme.

    Another scheme, such as the Basic of a proxy in front, is no attempt to show a key.
    """
    scheme, _, rest = (authorization or "").strip().partition(" ")
    return rest.strip() if scheme.lower() in ("bearer", "token") else None
