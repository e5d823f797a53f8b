"""Every page of a demo: nothing on the console, no sideways scrolling, no vain button, no other host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dpl_site.processes.ports import free_port
from tests.chaos.demonstration import Demonstration
from tests.e2e.furniture import furnish

pictures = pytest.importorskip("tests.e2e.pictures")

WIDTHS = (390, 768, 1440)
OF_OTHERS = ("admin", "admin-nodes", "api")
"""Pages that are Django's and the API's documentation: made by others, so held to less."""
REFUSED = """
async () => {
  const refused = [];
  for (const form of document.querySelectorAll("main form[method=post]")) {
    if (form.closest("[hidden]")) continue;
    const answer = await fetch(form.action, {method: "POST", body: new FormData(form), redirect: "manual"});
    if (answer.status === 403) refused.push(form.action);
  }
  return refused;
}
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """One demo for all tests here, with a person of each role."""
    with Demonstration(tmp_path_factory.mktemp("demo"), free_port(0)) as made:
        made.add_person("otto", "operator")
        made.add_person("vera", "viewer")
        furnish(made)
        yield made


@contextmanager
def reader(
    browser: Any, demo: Demonstration, who: str = "", *, expected: str = "nothing-here", **looks: Any
) -> Iterator[Any]:
    """A page of somebody who is logged in, the admin by default; nothing may go wrong on its console but `expected`."""
    theme = looks.pop("theme", "light")
    context = browser.new_context(base_url=demo.url, reduced_motion="reduce", **{"locale": "en-GB"} | looks)
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.on(
        "console", lambda said: wrong.append(f"{page.url}: {said.text}") if said.type == "error" else None
    )
    demo.log_in(page, who)
    yield page
    context.close()
    assert [line for line in wrong if "nothing-here" not in line and expected not in line] == []


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_no_page_is_wider_than_its_screen(
    demo: Demonstration,
    chromium: Any,
    locale: str,
) -> None:
    wide: dict[str, int] = {}
    for width in WIDTHS:
        with reader(chromium, demo, locale=locale, viewport={"width": width, "height": 900}) as page:
            for name, href in pictures.pages(page).items():
                if name in OF_OTHERS:
                    continue
                page.goto(href)
                page.wait_for_timeout(300)
                is_now = page.evaluate("document.documentElement.scrollWidth")
                if is_now > width:
                    wide[f"{name} at {width}"] = is_now
    assert wide == {}


@pytest.mark.parametrize("who", ["vera", "otto"])
def test_nobody_sees_a_button_that_is_refused(
    demo: Demonstration,
    chromium: Any,
    who: str,
) -> None:
    refused: dict[str, list[str]] = {}
    # An empty form is a bad request: what counts is that nobody is told that he may not.
    with reader(chromium, demo, who, expected="400 (Bad Request)") as page:
        for name, href in pictures.pages(page).items():
            if name in (*OF_OTHERS, "missing", "password"):
                continue
            answer = page.goto(href)
            assert answer is not None
            assert answer.status == 200, href
            if found := page.evaluate(REFUSED):
                refused[name] = found
    assert refused == {}


def test_pages_need_no_other_host(demo: Demonstration, chromium: Any) -> None:
    elsewhere: set[str] = set()
    with reader(chromium, demo) as page:
        page.on("request", lambda request: elsewhere.add(request.url))
        for href in pictures.pages(page).values():
            page.goto(href)
            page.wait_for_timeout(300)
    ours = (demo.url, demo.url.replace("http", "ws"), "data:", "blob:")
    assert {url for url in elsewhere if not url.startswith(ours)} == set()
