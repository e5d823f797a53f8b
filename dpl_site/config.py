"""How settings are read: typed, bounded, from the environment or a file; a bad value names its setting."""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from dpl_site.lib.newfile import place


class Reader:
    """Reads settings from a mapping; every method raises ImproperlyConfigured with the setting's name."""

    def __init__(self, source: Mapping[str, str]) -> None:
        self.source = source

    def text(self, name: str, default: str) -> str:
        """The value as it stands, without surrounding blanks."""
        return self.source.get(name, default).strip()

    def secret(self, name: str, default: str) -> str:
        """The value, or when it is unset or empty the content of the file that NAME_FILE names."""
        file = self.text(f"{name}_FILE", "")
        if self.text(name, "") or not file:
            return self.text(name, "") or default
        try:
            value = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"{name}_FILE: cannot read {file}: {error}") from error
        if not value:
            raise ImproperlyConfigured(f"{name}_FILE: {file} is empty.")
        return value

    def boolean(self, name: str, default: bool) -> bool:
        """True for 1, true, yes, on; False for 0, false, no, off."""
        value = self.text(name, "")
        if not value:
            return default
        known = {"1": True, "true": True, "yes": True, "on": True}
        known |= {"0": False, "false": False, "no": False, "off": False}
        if value.lower() not in known:
            raise ImproperlyConfigured(f"{name}: {value!r} is neither true nor false. Use true or false.")
        return known[value.lower()]

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        """A number within bounds."""
        value = self.text(name, "")
        try:
            result = float(value) if value else default
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}: {value!r} is not a number.") from error
        if not low <= result <= high:
            raise ImproperlyConfigured(f"{name}: {value} is not between {low:g} and {high:g}.")
        return result

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        """A whole number within bounds."""
        result = self.number(name, default, low=low, high=high)
        if result != int(result):
            raise ImproperlyConfigured(f"{name}: {result:g} is not a whole number.")
        return int(result)

    def choice(self, name: str, default: str, allowed: Sequence[str]) -> str:
        """One of the allowed words, however it is capitalised."""
        value = self.text(name, "") or default
        for word in allowed:
            if word.lower() == value.lower():
                return word
        raise ImproperlyConfigured(f"{name}: {value!r} is not one of {', '.join(allowed)}.")

    def listing(self, name: str, default: list[str]) -> list[str]:
        """Words separated by commas."""
        value = self.text(name, "")
        return [word.strip() for word in value.split(",") if word.strip()] if value else default

    def networks(self, name: str, default: list[str]) -> list[str]:
        """Networks in CIDR form, separated by commas."""
        values = self.listing(name, default)
        for value in values:
            try:
                ipaddress.ip_network(value)
            except ValueError as error:
                raise ImproperlyConfigured(f"{name}: {error}. Write networks like 203.0.113.0/24.") from error
        return values

    def keyed_networks(self, name: str) -> list[tuple[str, str]]:
        """Networks, each with a name: `192.168.1.0/24=laptops`, separated by commas."""
        found = []
        for entry in self.listing(name, []):
            network, _, word = (part.strip() for part in entry.partition("="))
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ImproperlyConfigured(f"{name}: {error}. Write 192.168.1.0/24=name.") from error
            if not word:
                raise ImproperlyConfigured(f"{name}: {entry!r} names no key. Write 192.168.1.0/24=name.")
            found.append((network, word))
        return found

    def addresses(self, name: str) -> list[str]:
        """IP addresses or networks, separated by commas; `*` is taken too, and a check warns of it."""
        values = self.listing(name, [])
        for value in values:
            if value == "*":
                continue
            try:
                ipaddress.ip_network(value, strict=False)
            except ValueError as error:
                raise ImproperlyConfigured(f"{name}: {error}. Write addresses like 192.168.1.5.") from error
        return values

    def origins(self, name: str, *, star: bool = False) -> list[str]:
        """Origins like https://tools.example.org, separated by commas; `star` allows `*` among them."""
        values = self.listing(name, [])
        for value in values:
            parts = urlsplit(value)
            is_origin = parts.scheme in ("http", "https") and parts.netloc and not (parts.path or parts.query)
            if not is_origin and not (star and value == "*"):
                example = "https://tools.example.org" + (", or * for all" if star else "")
                raise ImproperlyConfigured(f"{name}: {value!r} is not an origin. Write {example}.")
        return values

    def origin(self, name: str) -> str:
        """One origin like http://dpl.example.org:8000; empty: none."""
        values = self.origins(name)
        if len(values) > 1:
            raise ImproperlyConfigured(f"{name}: write one address, not {len(values)}.")
        return values[0] if values else ""

    def hosts(self, name: str, default: list[str]) -> list[str]:
        """Host names without scheme, port or path, separated by commas."""
        values = self.listing(name, default)
        for value in values:
            if not re.fullmatch(r"\*|\.?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]", value):
                raise ImproperlyConfigured(f"{name}: {value!r} is not a host's name. Write dpl.example.org.")
        return values

    def redis(self, name: str) -> str:
        """A Redis URL; empty: there is none. The message never shows it, since it may hold a password."""
        value = self.secret(name, "")
        if value and urlsplit(value).scheme not in ("redis", "rediss", "unix"):
            raise ImproperlyConfigured(f"{name}: its kind is not known. Use redis://HOST:6379/0.")
        return value

    def web_address(self, name: str) -> str:
        """An http or https URL; empty: there is none. The message never shows it, since it may hold a password."""
        value = self.secret(name, "")
        try:
            parts = urlsplit(value)
            is_right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            is_right = False
        if value and (not is_right or parts.query or parts.fragment):
            raise ImproperlyConfigured(f"{name}: it is not the address of a server. Use http://HOST:PORT.")
        return value

    def path(self, name: str, default: Path) -> Path:
        """An absolute path."""
        return Path(self.text(name, "") or default).expanduser().resolve()

    def folder(self, name: str, default: Path) -> Path:
        """A folder, made for this user alone when it is not there."""
        result = self.path(name, default)
        try:
            result.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ImproperlyConfigured(f"{name}: cannot make the folder {result}: {error}") from error
        if not os.access(result, os.W_OK):
            raise ImproperlyConfigured(f"{name}: {result} is not writable for this user.")
        return result


def made_secret(path: Path, *, setting: str = "DPL_SECRET_KEY") -> str:
    """The secret kept in `path`, made on the first start; processes that start at once agree on one.

    The file appears whole or not at all, so a process killed in between leaves nothing half done. Raises
    ImproperlyConfigured, which names `setting`, when the file cannot be made or read, or is empty.
    """
    try:
        if not path.exists():
            place(path, secrets.token_urlsafe(50))
        value = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{setting}: cannot keep a secret in {path}: {error}") from error
    if not value:
        raise ImproperlyConfigured(f"{setting}: {path} is empty. Remove it, and it is made anew.")
    return value


def key_file(path: Path, *, setting: str = "DPL_CREDENTIALS_KEY_FILE") -> Path:
    """The same path, when what it holds, if it is there, are keys of Fernet, one a line."""
    try:
        lines = path.read_bytes().split() if path.exists() else []
        keys = [base64.urlsafe_b64decode(line) for line in lines]
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"{setting}: {path} cannot be read: {error}") from error
    if path.exists() and (not keys or any(len(key) != 32 for key in keys)):
        raise ImproperlyConfigured(f"{setting}: {path} holds no key. Restore it, or remove it to begin anew.")
    return path


def database(url: str, *, pooled: bool) -> dict[str, Any]:
    """Django's settings for one database URL, tuned as docs/why/sqlite.md tells.

    `pooled`: PostgreSQL connections come from a pool, for processes with a thread per request; the others
    keep one for a minute. Raises ImproperlyConfigured when the URL is none or its kind is unknown; the
    message never shows the URL, which may hold a password.
    """
    kind, colon, _ = url.lower().partition(":")
    if not colon or kind not in ("sqlite", "postgres", "postgresql"):
        raise ImproperlyConfigured(f"DATABASE_URL: its kind is not known. Use {_URLS}.")
    try:
        found: dict[str, Any] = dict(environ.Env.db_url_config(url))
    except (ValueError, KeyError):
        hint = "Percent-encode what is special in the password."
        raise ImproperlyConfigured(f"DATABASE_URL: cannot be read. Use {_URLS}. {hint}") from None
    name = found["NAME"]
    if kind == "sqlite":
        if name in ("", ":memory:"):
            raise ImproperlyConfigured(
                "DATABASE_URL: name a file; processes cannot share a database in memory."
            )
        age = 0 if pooled else 60
        ours = {"ENGINE": "dpl_site.lib.sqlite", "OPTIONS": _SQLITE, "CONN_MAX_AGE": age}
        return found | ours | {"TEST": {"NAME": f"{name}.test"}}
    if not name:
        raise ImproperlyConfigured(f"DATABASE_URL: no database is named. Use {_URLS}.")
    options = {"connect_timeout": 5} | found.get("OPTIONS", {})
    if pooled:
        pool = {"min_size": 1, "max_size": 16, "timeout": 10}
        return found | {"OPTIONS": options | {"pool": pool}, "CONN_MAX_AGE": 0}
    return found | {"OPTIONS": options, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


_URLS = "sqlite:///FILE or postgres://USER:PASSWORD@HOST/NAME"
_SQLITE: dict[str, Any] = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;",
}


def logging_setup(form: str, level: str) -> dict[str, Any]:
    """Logging for `text` (one short line) or `json` (one object a line), to standard error.

    Lines that belong to a request carry its id.
    """
    text = {"format": "%(asctime)s %(levelname)s %(name)s:%(tag)s %(message)s", "datefmt": "%H:%M:%S"}
    json = {
        "()": "pythonjsonlogger.json.JsonFormatter",
        "format": "%(asctime)s %(levelname)s %(name)s %(message)s %(process)d %(request_id)s",
    }
    console = {"class": "logging.StreamHandler", "formatter": form, "filters": ["request_id"]}
    quiet = {"level": "WARNING", "handlers": ["console"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": "dpl_site.lib.trace.RequestIdFilter"}},
        "formatters": {"text": text, "json": json},
        "handlers": {"console": console},
        "root": {"handlers": ["console"], "level": level},
        "loggers": dict.fromkeys(("django", "django-q", "uvicorn.access", "httpx", "asyncio", "axes"), quiet)
        # A client's own mistake is told to the client; the log is for ours.
        | {"django.request": quiet | {"level": "ERROR"}},
    }
