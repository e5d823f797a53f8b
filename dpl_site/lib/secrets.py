"""Secrets that must be recoverable (agent tokens, engine keys): encrypted under a key file that can be rotated."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from dpl_site.lib.newfile import place


@lru_cache(maxsize=4)
def _box(path: Path) -> MultiFernet:
    """All keys of the file, one a line; the first encrypts, all decrypt, so a new first line rotates."""
    if not path.exists():
        place(path, Fernet.generate_key().decode())
    return MultiFernet([Fernet(line) for line in path.read_bytes().split()])


@lru_cache(maxsize=4)
def _keys(path: Path) -> tuple[bytes, ...]:
    _box(path)
    return tuple(path.read_bytes().split())


def fingerprints(text: str) -> list[str]:
    """Keyed hashes of a secret, by which its row is found: under the first key, then under each older one.

    Who has the database but not the key file cannot try likely secrets against them. Empty for no text.
    """
    keys = _keys(settings.DPL_CREDENTIALS_KEY_FILE) if text else ()
    return [hmac.new(key, text.encode(), hashlib.sha256).hexdigest() for key in keys]


def fingerprint(text: str) -> str:
    """The hash that is to be kept of a secret; empty stays empty."""
    return next(iter(fingerprints(text)), "")


def encrypt(text: str) -> str:
    """The text as a token that only the holder of the key file can read; empty stays empty."""
    return _box(settings.DPL_CREDENTIALS_KEY_FILE).encrypt(text.encode()).decode() if text else ""


def decrypt(token: str) -> str:
    """The text of a token; empty stays empty. Raises ValueError when no key of the file fits."""
    if not token:
        return ""
    try:
        return _box(settings.DPL_CREDENTIALS_KEY_FILE).decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise ValueError(
            "a stored credential was encrypted under a key that is gone; enter it anew"
        ) from error


if TYPE_CHECKING:
    _Text = models.TextField[str, str]
else:
    _Text = models.TextField


class SecretField(_Text):
    """A text column that is encrypted at rest and plain in Python."""

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt on the way in."""
        return encrypt(str(value)) if value else ""

    def from_db_value(self, value: str | None, *_: Any) -> str:
        """Decrypt on the way out; a credential whose key is gone reads as empty and `doctor` says so."""
        try:
            return decrypt(value or "")
        except ValueError:
            return ""
