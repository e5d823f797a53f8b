"""Takes a picture of every page of a running demo: desktop and phone, light and dark, English and Chinese.

`make pictures` puts them into `var/pictures`, with an index to look through; with `ARGS=--readme` the README's own into
`docs/pictures` as well. It fails when a page has an error on its console, answers none, or is wider than its screen.
"""

from __future__ import annotations

import argparse
import html
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from dpl_site.processes.ports import free_port
from tests.chaos.demonstration import Demonstration
from tests.e2e.browser import CHROMIUM, FLAGS
from tests.e2e.furniture import furnish

ROOT = Path(__file__).resolve().parents[2]
SETTLE_MS = 2_500
DESKTOP, PHONE = (1440, 900), (390, 844)
README = {"overview": "fleet", "host": "host", "chat": "chat", "job": "job"}
"""The README's pictures, by the page's name: what a desktop shows of it, light, in the README's language."""

BEHIND = {
    "host": ("overview", r"/nodes/\d+/"),
    "job": ("jobs", r"/jobs/[0-9a-f-]{8,}/"),
    "item": ("job", r"/jobs/[0-9a-f-]{8,}/items/\d+/"),
    "alert": ("alerts", r"/alerts/history/\d+/"),
    "alert-history": ("alerts", r"/alerts/history/"),
    "alert-rules": ("alerts", r"/alerts/rules/"),
    "alert-rule": ("alert-rules", r"/alerts/rules/\d+/"),
    "alert-rule-new": ("alert-rules", r"/alerts/rules/new/.*"),
    "alert-silences": ("alerts", r"/alerts/silences/"),
    "alert-channels": ("alerts", r"/alerts/channels/"),
    "alert-channel": ("alert-channels", r"/alerts/channels/\d+/"),
    "admin-nodes": ("/admin/", r"/admin/nodes/node/"),
}
"""Pages that no menu leads to, by their name: the page with a link to them, and what such a link looks like."""
QUESTION = "Who was Gauss?"
OLD_ENOUGH_S = 90.0
"""A demo is looked at when its curves are more than a point."""


@dataclass(frozen=True, slots=True)
class Looks:
    """One way to look at a page."""

    size: tuple[int, int]
    theme: str
    language: str

    @property
    def name(self) -> str:
        """As it stands in a file's name."""
        kind = "desktop" if self.size == DESKTOP else "phone"
        return f"{kind}-{self.theme}-{self.language}"


LOOKS = [
    Looks(size, theme, language)
    for size in (DESKTOP, PHONE)
    for theme in ("light", "dark")
    for language in ("en", "zh-CN")
]


def pages(page: Page) -> dict[str, str]:
    """Every page that this person can get to, by its name: the menu's, and one of each kind behind another."""
    menu = _links(page, "nav.places", r"/.*")
    found = {href.strip("/").replace("/", "-") or "overview": href for href in menu}
    for name, (on, shape) in BEHIND.items():
        if on not in found and not on.startswith("/"):
            continue
        page.goto(found.get(on, on))
        if links := _links(page, "main", shape):
            found[name] = links[0]
    return (
        found
        | _compared(page)
        | {
            "password": "/password/",
            "admin": "/admin/",
            "api": "/api/docs",
            "missing": "/nothing-here/",
        }
    )


def _links(page: Page, within: str, shape: str) -> list[str]:
    """The addresses of the links there that have this shape."""
    found = page.locator(f"{within} a[href]").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    return [href for href in found if re.fullmatch(shape, href)]


def _compared(page: Page) -> dict[str, str]:
    """Two runs of one dataset side by side, where there are two."""
    page.goto("/jobs/compare/")
    choices = "select[name=one] option:has-text('prompts.json')"
    jobs = page.locator(choices).evaluate_all("all => all.map(one => one.value)")
    return {"compare": f"/jobs/compare/?one={jobs[0]}&other={jobs[1]}"} if len(jobs) > 1 else {}


@contextmanager
def reader(browser: Browser, demo: Demonstration, looks: Looks, wrong: list[str]) -> Iterator[Page]:
    """A page on which the admin is logged in, seen that way."""
    width, height = looks.size
    context = browser.new_context(
        base_url=demo.url,
        viewport={"width": width, "height": height},
        locale=looks.language,
        timezone_id="Asia/Shanghai",
        color_scheme="dark" if looks.theme == "dark" else "light",
        reduced_motion="reduce",
    )
    context.add_init_script(f"localStorage.setItem('theme', '{looks.theme}')")
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(f"{looks.name} {page.url}: {error}"))
    page.on("console", lambda message: wrong.extend(_told(message, looks, page)))
    demo.log_in(page)
    yield page
    context.close()


def _told(message: Any, looks: Looks, page: Page) -> list[str]:
    is_wrong = message.type in ("error", "warning") and "nothing-here" not in page.url
    return [f"{looks.name} {page.url}: {message.text}"] if is_wrong else []


def take(page: Page, name: str, href: str, looks: Looks, into: Path) -> Iterator[str]:
    """One picture; what is wrong with the page."""
    answer = page.goto(href)
    if name == "chat":
        _ask(page)
    page.wait_for_timeout(SETTLE_MS)
    if answer is None or (answer.status >= 400 and name != "missing"):
        yield f"{looks.name} {href}: {answer.status if answer else 'no answer'}"
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > looks.size[0]:
        yield f"{looks.name} {href}: {wide} px wide on a screen of {looks.size[0]}"
    page.screenshot(path=into / f"{name}-{looks.name}.png", full_page=True)
    if name in README and (looks.size, looks.theme) == (DESKTOP, "light"):
        (into / "readme").mkdir(exist_ok=True)
        page.screenshot(path=into / "readme" / f"{README[name]}{'' if looks.language == 'en' else '.zh'}.png")


def _ask(page: Page) -> None:
    """A chat with an answer in it."""
    page.fill("#prompt", QUESTION)
    page.press("#prompt", "Enter")
    page.locator(".answer[aria-busy=false]").first.wait_for()


def take_all(demo: Demonstration, into: Path) -> list[str]:
    """Every page in every way; what was wrong."""
    wrong: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for looks in LOOKS:
            with reader(browser, demo, looks, wrong) as page:
                for name, href in pages(page).items():
                    wrong.extend(take(page, name, href, looks, into))
                page.context.clear_cookies()
                wrong.extend(take(page, "login", "/login/", looks, into))
        browser.close()
    return wrong


def write_index(into: Path) -> None:
    """One file to look through all pictures with."""
    names = sorted(file.name for file in into.glob("*.png"))
    row = '<figure><img src="{0}" width="480" loading="lazy"><figcaption>{0}</figcaption></figure>'
    shown = "".join(row.format(html.escape(name)) for name in names)
    (into / "index.html").write_text(f"<!doctype html><meta charset=utf-8><title>DPL</title>{shown}")


def for_readme(into: Path) -> None:
    """Keep the README's own pictures in the documentation."""
    place = ROOT / "docs" / "pictures"
    place.mkdir(exist_ok=True)
    for picture in (into / "readme").glob("*.png"):
        shutil.copy(picture, place)


def main() -> int:
    """Start a demo, take the pictures, end it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "var" / "pictures")
    parser.add_argument("--readme", action="store_true", help="the README's own, too")
    given = parser.parse_args()
    if CHROMIUM is None:
        return _say(
            "There is no Chromium on this machine: apt-get install chromium puts one there.", status=1
        )
    shutil.rmtree(given.into, ignore_errors=True)
    given.into.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder, Demonstration(Path(folder), free_port(0)) as demo:
        furnish(demo)
        time.sleep(OLD_ENOUGH_S)
        wrong = take_all(demo, given.into)
    write_index(given.into)
    if given.readme:
        for_readme(given.into)
    count = len(list(given.into.glob("*.png")))
    return _say(f"{count} pictures; look through {given.into}/index.html", *wrong, status=1 if wrong else 0)


def _say(*lines: str, status: int) -> int:
    sys.stdout.write("\n".join(lines) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
