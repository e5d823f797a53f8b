"""The browser of the tests and of the pictures: this machine's Chromium, told to keep to itself."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "no Chromium on this machine; apt-get install chromium puts one there"
FLAGS = [
    *("--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-extensions"),
]


def first_login(log: Path) -> tuple[str, str]:
    """The name and password of the first admin, as a started installation printed them."""
    found = re.search(r"Login: (\S+) / (\S+)", log.read_text(errors="replace"))
    assert found, "no login was printed"
    return found[1], found[2]


def fill_login(page: Any, name: str, password: str) -> None:
    """Fill the login's form, and send it."""
    page.fill("[name=username]", name)
    page.fill("[name=password]", password)
    page.click("main button")


def log_in(page: Any, url: str, name: str, password: str) -> None:
    """Let a page into the site at this address."""
    page.goto(f"{url}/login/")
    fill_login(page, name, password)
    page.wait_for_url(f"{url}/")
