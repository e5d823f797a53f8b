"""Text of people, machines and models with markup, Markdown and bidi tricks in it is harmless on every page."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.chaos.installation import Installation
from tests.e2e.browser import CHROMIUM, MISSING
from tests.e2e.test_pages import SOON_MS, log_in
from tests.engines.simulated import SimulatedEngine
from tests.machines import Said, serving
from tests.nodes.told import STATUS

pictures = pytest.importorskip("tests.e2e.pictures")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

RUN = "window.ran='yes'"
MARKUP = f'"><img src=x onerror={RUN}><script>{RUN}</script>'
MARKDOWN = f"[go](javascript:{RUN}) ![x](http://192.0.2.1/x.png) <svg onload={RUN}> </textarea><script>{RUN}</script>"
TEMPLATE = "{{ settings.SECRET_KEY }} {% debug %} %(name)s"
BIDI = "\u202egnp.exe\u202c \u2066x"
WORD = "w" * 200
ANSI = "\x1b[31mred\x1b[0m \u200b\u200d"
ALL = "\n".join((MARKUP, MARKDOWN, TEMPLATE, BIDI, WORD, ANSI, "# head", "```js\nalert(1)\n```"))
NAME = MARKUP[:60] + "n" * 40
MODEL = "m" * 120
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1440, "height": 900}


def told() -> dict[str, Any]:
    """A machine whose every text is hostile."""
    status = copy.deepcopy(STATUS)
    status |= {"hostname": MARKUP, "os": ALL, "gpu_error": MARKUP, "model": MARKUP, "models": [MARKUP]}
    status["cpu"]["model"] = MARKUP + WORD
    status["filesystems"][0]["mount"] = f"/{MARKUP}"
    gpu = status["gpus"][0]
    gpu |= {"name": MARKUP, "throttle_reasons": [MARKUP], "health": MARKUP}
    gpu["processes"][0] |= {"name": MARKUP, "user": MARKUP, "container": MARKUP, "command": ALL}
    return status


@pytest.fixture(scope="module")
def site() -> Iterator[Installation]:
    """One installation in which everything that has a name has a hostile one."""
    made = Installation(DPL_POLL_INTERVAL_S=1)
    with ExitStack() as stack:
        engine = stack.enter_context(
            SimulatedEngine(tokens_per_second=0, slots=4, echo=True, preload=True, model=MODEL)
        )
        agent = stack.enter_context(serving(lambda _: Said(told())))
        stack.callback(made.stop)
        made.start()
        words = ("--llm", engine.url, "--monitor", agent.url, "--environment", "<b>lab</b>" + WORD[:39])
        made.manage("node", "add", NAME, *words)
        _fill(made)
        yield made


def _fill(site: Installation) -> None:
    """Rules, silences, channels, keys, jobs and requests of somebody who means harm."""
    with httpx.Client(
        base_url=site.url, headers={"Authorization": f"Bearer {site.key}"}, timeout=60
    ) as client:
        rule = {
            "name": NAME,
            "metric": "memory_percent",
            "operator": ">",
            "fire_value": 1,
            "clear_value": 0,
        }
        _post(client, "/api/v1/rules/", json=rule)
        _post(
            client,
            "/api/v1/silences/",
            json={
                "ends_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
                "comment": MARKDOWN[:300],
                "label": "x",
            },
        )
        _post(client, "/api/v1/channels/", json={"name": NAME, "url": "json://127.0.0.1:9/"})
        _post(client, "/api/v1/keys/", json={"name": NAME})
        rows = [
            {"instruction": ALL, "<i>key</i>": MARKUP},
            {"instruction": MARKDOWN},
            {"instruction": BIDI + WORD},
        ]
        for _ in range(2):
            file = (f"{MARKUP[:60]}{WORD[:60]}.json".replace('"', ""), json.dumps(rows).encode())
            _post(client, "/api/dataset/upload", files={"file": file})
        asked = {"model": "auto", "messages": [{"role": "user", "content": ALL}]}
        _post(client, "/v1/chat/completions", json=asked)
        node = client.get("/api/v1/nodes/").json()["results"][0]["id"]
        _post(client, f"/api/v1/nodes/{node}/lock/", json={"reason": MARKUP + BIDI, "ttl_s": 3600})


def _post(client: httpx.Client, path: str, **given: Any) -> None:
    answer = client.post(path, **given)
    assert answer.is_success, f"{path}: {answer.text}"


@contextmanager
def reader(browser: Any, site: Installation, **looks: Any) -> Iterator[Any]:
    """A page of the admin; nothing that was smuggled in runs, asks another host, or shows on the console."""
    context = browser.new_context(base_url=site.url, reduced_motion="reduce", **looks)
    page, wrong = context.new_page(), []
    ours = (site.url, site.url.replace("http", "ws"), "data:", "blob:")
    page.on(
        "request", lambda asked: None if asked.url.startswith(ours) else wrong.append(f"asked {asked.url}")
    )
    page.on("dialog", lambda shown: wrong.append(f"dialog {shown.message}"))
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.on(
        "console", lambda line: wrong.append(f"{page.url}: {line.text}") if line.type == "error" else None
    )
    log_in(page, site)
    yield page
    context.close()
    assert [line for line in wrong if "nothing-here" not in line] == []


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_page_runs_it_or_is_broken_by_it(
    site: Installation, chromium: Any, locale: str, size: dict[str, int]
) -> None:
    broken: dict[str, Any] = {}
    with reader(chromium, site, locale=locale, viewport=size) as page:
        hosts = {f"host {number}": f"/nodes/{number}/" for number in (1, 2)}
        for name, href in (pictures.pages(page) | hosts).items():
            page.goto(href)
            page.wait_for_timeout(700)
            if page.evaluate("window.ran"):
                broken[name] = "ran"
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > size["width"] and name not in ("admin", "admin-nodes", "api"):
                broken[name] = f"{wide} px wide"
    assert broken == {}


def test_a_chat_with_it_is_text(site: Installation, chromium: Any) -> None:
    with reader(chromium, site, locale="en-GB") as page:
        page.goto("/chat/")
        page.fill("#prompt", ALL)
        page.press("#prompt", "Enter")
        page.locator(".answer[aria-busy=false]").first.wait_for(timeout=SOON_MS)
        assert page.evaluate("window.ran") is None
        assert page.locator(".answer script, .answer svg[onload], .answer img[onerror]").count() == 0
        links = page.locator(".answer a").evaluate_all("all => all.map(one => one.href)")
        assert [href for href in links if href.startswith("javascript:")] == []
        page.reload()
        page.locator(".answer").first.wait_for(timeout=SOON_MS)
        assert page.evaluate("window.ran") is None


def test_names_do_not_turn_the_text_beside_them(site: Installation, chromium: Any) -> None:
    """A name that overrides the direction of writing is isolated wherever text of ours stands beside it."""
    with reader(chromium, site, locale="en-GB") as page:
        page.goto("/")
        quote = page.locator("[data-f=lock-reason]:visible").first
        quote.wait_for(timeout=SOON_MS)
        shown = quote.evaluate("one => getComputedStyle(one).unicodeBidi")
        assert re.fullmatch("isolate|plaintext|isolate-override", shown), shown
