"""The process that sends one message: `messenger` starts it, tells it all through stdin, and reads the outcome.

It may be killed at any instant: the message then went out or did not, and whoever asked tries again. Patches
here reach this process only.
"""

from __future__ import annotations

import importlib
import json
import logging
import re
import socket
import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dpl_site.lib.addresses import AddressError, AddressPolicy, networks

SETTING = "DPL_NOTICE_NETWORKS"
PLUGINS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "mailto": ("email", "NotifyEmail"),
        "mailtos": ("email", "NotifyEmail"),
        "json": ("custom_json", "NotifyJSON"),
        "jsons": ("custom_json", "NotifyJSON"),
        "slack": ("slack", "NotifySlack"),
        "dingtalk": ("dingtalk", "NotifyDingTalk"),
        "feishu": ("feishu", "NotifyFeishu"),
        "wecombot": ("wecombot", "NotifyWeComBot"),
        "tgram": ("telegram", "NotifyTelegram"),
    }
)
"""Every scheme that there is, and Apprise's plugin for it."""
NATIVE = ("slack", "wecombot")
"""Chats whose own https:// addresses Apprise takes as people paste them."""
PASTED = (
    (re.compile(r"https://oapi\.dingtalk\.com/robot/send/?\?access_token=(\w+)"), r"dingtalk://\1"),
    (re.compile(r"https://open\.feishu\.cn/open-apis/bot/v2/hook/([\w-]+)"), r"feishu://\1"),
)
"""And chats whose addresses it does not."""
REFUSED = ("template", "attach", "pgp", "pgppub", "pgpprv", "wkd", "smime", "smimecert", "smimekey")
"""Parameters of a URL that make Apprise read files or other sites."""
CONNECT_S, READ_S = 5.0, 10.0
_TOO_SHORT = 4
"""Parts of a URL that are shorter hold no secret, and would blot out half of a message."""


class Refusal(Exception):
    """The URL cannot be used; the text says why and what to do."""


def main() -> None:
    """Read what is asked, do it, write the outcome."""
    asked = json.loads(sys.stdin.buffer.read())
    timer = threading.Timer(asked["timeout_s"], _give_up, [asked["timeout_s"]])
    timer.daemon = True
    timer.start()
    _write(*answer(asked))


def answer(asked: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Whether it went well, else why not, and the scheme."""
    url = str(asked["url"]).strip()
    heard = _Heard()
    try:
        policy = AddressPolicy(networks(asked["networks"]), SETTING)
        refusals = _guard(policy)
        scheme, plugin = make_plugin(url, asked["schemes"], policy, heard)
        if asked["action"] == "check":
            return True, "", scheme
        is_sent = _notify(plugin, asked)
        why = "" if is_sent else "; ".join([*dict.fromkeys(refusals)]) or heard.said()
        return is_sent, scrub(why, url), scheme
    except Refusal as refusal:
        return False, str(refusal), ""
    except Exception as error:
        return False, scrub(f"{type(error).__name__}: {error}", url), ""


def make_plugin(
    url: str, schemes: list[str], policy: AddressPolicy, heard: _Heard | None = None
) -> tuple[str, Any]:
    """The URL's scheme and Apprise's plugin for it, bounded. Raises Refusal."""
    for pasted, ours in PASTED:
        url = pasted.sub(ours, url)
    parts = _parts_of(url)
    scheme = parts.scheme.lower()
    if scheme in ("http", "https"):
        return _native(url, schemes)
    if scheme not in PLUGINS or scheme not in schemes:
        raise Refusal(
            f"{scheme or 'This'} is no kind of address that messages go to. Use {', '.join(schemes)}."
        )
    named = {name.lower().lstrip("+-:") for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    for name in REFUSED:
        if name in named:
            raise Refusal(f"The parameter {name} is not taken: it would read files of this machine.")
    if scheme in ("json", "jsons") and parts.hostname:
        _check_host(parts.hostname, policy)
    plugin_type = _plugin_type(scheme)
    told = plugin_type.parse_url(url)
    if not told:
        hint = heard.said() if heard else ""
        raise Refusal(scrub(f"This is no complete {scheme}:// address. {hint}".strip(), url))
    return scheme, _made(plugin_type, told, url)


def scrub(text: str, url: str) -> str:
    """The text without what the URL holds: users, passwords, tokens in its path and its parameters."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address cannot be read"
    held = [parts.username, parts.password, *parts.path.split("/")]
    held += [value for _, value in parse_qsl(parts.query)]
    if parts.scheme not in ("json", "jsons", "mailto", "mailtos"):
        held += [parts.netloc, *parts.netloc.replace("@", ":").split(":")]
    text = " ".join(text.replace(url, "…").split())
    for secret in sorted({one for one in held if one}, key=len, reverse=True):
        for spelling in (secret, unquote(secret)):
            if len(spelling) >= _TOO_SHORT:
                text = text.replace(spelling, "…")
    return text


def _notify(plugin: Any, asked: Mapping[str, Any]) -> bool:
    from apprise import NotifyFormat, NotifyType

    kind = NotifyType(asked["kind"])
    return bool(
        plugin.notify(
            body=asked["body"],
            title=" ".join(asked["title"].split()),
            notify_type=kind,
            body_format=NotifyFormat.TEXT,
        )
    )


def _parts_of(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.scheme == "tgram" or parts.port  # a bot's token has a colon in it
    except ValueError as error:
        raise Refusal(f"The address cannot be read: {error}.") from error
    if not parts.scheme or "://" not in url:
        raise Refusal("Write an Apprise address, such as mailtos://user:password@example.org.")
    return parts


def _check_host(host: str, policy: AddressPolicy) -> None:
    """Refuse at once what could never be connected to; names are judged when they are resolved."""
    try:
        policy.check_url(f"http://[{host}]/" if ":" in host else f"http://{host}/")
    except AddressError as error:
        raise Refusal(error.message) from error


def _native(url: str, schemes: list[str]) -> tuple[str, Any]:
    for scheme in NATIVE:
        plugin_type = _plugin_type(scheme)
        told = plugin_type.parse_native_url(url) if scheme in schemes else None
        if told:
            return scheme, _made(plugin_type, told, url)
    raise Refusal("A plain webhook is written json://host/path, or jsons:// for TLS.")


def _plugin_type(scheme: str) -> Any:
    module, name = PLUGINS[scheme]
    return getattr(importlib.import_module(f"apprise.plugins.{module}"), name)


def _made(plugin_type: Any, told: dict[str, Any], url: str) -> Any:
    from apprise import AppriseAsset

    told = {**told, "asset": AppriseAsset(http_redirects=False, app_id="DPL", app_desc="DPL", app_url="")}
    for name in ("redirect", "retry", "wait", "optional", "format", "overflow", "emojis", "interpret"):
        told.pop(name, None)
    told["format"] = "text"
    try:
        plugin = plugin_type(**told)
    except Exception as error:
        raise Refusal(scrub(f"This address is not complete: {error}", url)) from error
    plugin.redirects = False
    plugin.socket_connect_timeout, plugin.socket_read_timeout = CONNECT_S, READ_S
    return plugin


def _guard(policy: AddressPolicy) -> list[str]:
    """Let no connection of this process go past the policy, a proxy, or a redirect; what was refused is listed."""
    import requests.sessions

    refused: list[str] = []

    def checked(address: Any) -> None:
        try:
            policy.check_ip(address[0] if isinstance(address, tuple) else "0.0.0.0")  # noqa: S104 - never bound
        except (AddressError, ValueError) as error:
            refused.append(str(error))
            raise OSError(str(error)) from error

    class Guarded(_Socket):
        def connect(self, address: Any) -> None:
            checked(address)
            super().connect(address)

        def connect_ex(self, address: Any) -> int:
            checked(address)
            return super().connect_ex(address)

    socket.socket = Guarded  # type: ignore[misc]  # the one place where every library asks for one
    sessions: Any = requests.sessions
    sessions.get_environ_proxies = lambda *_, **__: {}
    sessions.get_netrc_auth = lambda *_, **__: None
    sessions.Session.resolve_redirects = lambda *_, **__: iter(())
    return refused


_Socket = socket.socket
_ERRNO = re.compile(r"\[Errno -?\d+\] ([\w ,.-]+)")
"""The one part of a library's long complaint about a connection that tells something."""


class _Heard(logging.Handler):
    """What Apprise says went wrong, as it says it in its log only."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._lines: list[str] = []
        logger = logging.getLogger("apprise")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep warnings, and the reason that a connection failed for."""
        line = record.getMessage()
        because = _ERRNO.search(line)
        if because:
            self._lines.insert(0, because[1].strip())
        elif record.levelno >= logging.WARNING or "Exception" in line:
            self._lines.append(" ".join(line.split())[:200])

    def said(self) -> str:
        """It, in short."""
        return "; ".join(dict.fromkeys(self._lines))[:400] or "it was not taken, without a reason"


def _write(is_ok: bool, error: str, scheme: str) -> None:
    sys.stdout.write(json.dumps({"ok": is_ok, "error": error, "scheme": scheme}))
    sys.stdout.flush()


def _give_up(timeout_s: float) -> None:
    import os

    _write(False, f"no answer within {timeout_s:g} s", "")
    os._exit(1)


if __name__ == "__main__":
    main()
