"""Sends messages by Apprise URLs, in a process of its own for each: `send` and `check`, for the calling thread.

Apprise and its HTTP library are large, follow the environment's proxies, and bound the wait for one packet, not
for a message. So a child (`messenger_child`) does the work: it guards every connection by the address policy,
follows no redirect, reads no file that a URL names, and is killed at the timeout. Nobody else imports Apprise.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent.parent
TIMEOUT_S = 20.0
SLACK_S = 5.0
"""The child ends itself at the timeout; it is killed so much later."""
MOST_ERROR = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `error` says why not, without the URL's secrets; `scheme` is the one that was understood."""

    is_ok: bool
    error: str = ""
    scheme: str = ""


def check(url: str) -> Outcome:
    """Whether a URL is one that messages can go to. Calls nobody."""
    return _ask({"action": "check", "url": url}, TIMEOUT_S)


def send(url: str, title: str, body: str, *, kind: str = "info", timeout_s: float = TIMEOUT_S) -> Outcome:
    """Send plain text. `kind` is Apprise's: info, success, warning, failure. Never raises for what others do."""
    asked = {"action": "send", "url": url, "title": title, "body": body, "kind": kind}
    return _ask(asked, timeout_s)


def _ask(asked: dict[str, Any], timeout_s: float) -> Outcome:
    """The child's answer. The URL goes through a pipe: command lines are for all users to see."""
    told = asked | {
        "timeout_s": timeout_s,
        "networks": list(settings.DPL_NOTICE_NETWORKS),
        "schemes": list(settings.DPL_NOTICE_SCHEMES),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dpl_site.lib.messenger_child"],
            input=json.dumps(told).encode(),
            capture_output=True,
            timeout=timeout_s + SLACK_S,
            cwd=ROOT,
            check=False,
        )
        answer = json.loads(done.stdout)
        return Outcome(answer["ok"], str(answer["error"])[:MOST_ERROR], str(answer["scheme"]))
    except subprocess.TimeoutExpired:
        return Outcome(False, f"no answer within {timeout_s:g} s")
    except (OSError, ValueError, KeyError, TypeError) as error:
        # What the child says on stderr might hold the URL, so it is not shown.
        return Outcome(
            False, f"the sending process failed ({type(error).__name__}); see that Apprise is installed"
        )
