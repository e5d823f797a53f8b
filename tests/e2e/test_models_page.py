"""The pages of models, usage and keys in a real browser: live, by role, in Chinese, on a phone, with hostile names."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.installation import Installation
from tests.e2e.browser import CHROMIUM, MISSING
from tests.e2e.test_pages import HOSTILE, SOON_MS, is_live, person, playwright, press
from tests.engines.simulated import SimulatedEngine

expect = playwright.expect
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
MODEL = "tiny"
PATHS = ("/models/", "/usage/", "/keys/")


@pytest.fixture(scope="module")
def site() -> Iterator[Installation]:
    """One installation with an Ollama, and an engine that keeps its model on a node with a hostile name."""
    made = Installation(DPL_POLL_INTERVAL_S=1)
    flags: dict[str, Any] = {"tokens_per_second": 0, "slots": 4, "echo": True, "model": MODEL}
    try:
        made.start()
        with (
            SimulatedEngine(dialect="ollama", **flags) as one,
            SimulatedEngine(dialect="openai", **flags) as other,
        ):
            made.manage("node", "add", "quick", "--llm", one.url, "--slots", "4")
            made.manage("node", "add", HOSTILE, "--llm", other.url, "--slots", "4")
            yield made
    finally:
        made.stop()


def place(page: Any, node: str) -> Any:
    return page.locator(".model tbody tr", has_text=node)


def open_form(page: Any) -> None:
    """The form for a new key; it stands open while there is no key."""
    if not page.locator("#new-key").evaluate("form => form.open"):
        page.locator("#new-key > summary").click()


def test_a_model_is_warmed_up_and_unloaded_live(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/models/")
        is_live(page)
        page.evaluate("window.sameDocument = true")
        quick = place(page, "quick")
        expect(place(page, HOSTILE).get_by_text("kept by its engine")).to_be_visible()
        page.locator(".warm select").select_option(label="quick")
        press(page, "Warm up")
        expect(page.locator(".model .news")).to_have_text("Loaded on quick.", timeout=SOON_MS)
        expect(quick.get_by_text("in memory")).to_be_visible(timeout=SOON_MS)
        quick.get_by_role("button", name="Unload").click()
        expect(quick.get_by_text("on disk")).to_be_visible(timeout=SOON_MS)
        expect(quick.get_by_role("button", name="Unload")).to_be_hidden()
        assert page.evaluate("window.sameDocument"), "the page was loaded again"
        assert page.title() == "Models · DPL", "a name was taken for markup"


def answering(page: Any, *lines: dict[str, Any]) -> None:
    """Let a fetch be told of by these lines."""
    said = "".join(f"{json.dumps(line)}\n" for line in lines)
    kind = "application/x-ndjson"
    page.route(
        "**/api/models/start/**", lambda route: route.fulfill(status=202, content_type=kind, body=said)
    )


def test_a_fetch_says_how_far_it_is_and_why_it_failed(site: Installation, chromium: Any) -> None:
    begun = {"model": "big", "node": {"id": 1, "name": "quick"}, "state": "pulling"}
    far = begun | {"bytes": {"done": 2**30, "total": 4 * 2**30}}
    why = begun | {"state": "failed", "error": {"message": "no space left on device", "code": "engine_error"}}
    with person(chromium, site) as page:
        page.goto(f"{site.url}/models/")
        is_live(page)
        answering(page, begun, far)
        page.locator("[data-do=pull] [name=model]").fill("big")
        press(page, "Fetch it")
        expect(page.locator(".panel .news")).to_contain_text("quick")
        expect(page.locator(".panel .news")).to_contain_text("1.0 GiB of 4.0 GiB (25 %)")
        answering(page, begun, far, why)
        press(page, "Fetch it")
        expect(page.locator(".panel .problem")).to_have_text("no space left on device")


def test_models_are_searched_by_a_key_and_an_alias_is_added(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/models/")
        is_live(page)
        page.locator("#aliases ~ form [name=alias]").fill("gpt-4o")
        page.locator("#aliases ~ form [name=model]").fill(MODEL)
        press(page, "Add the alias")
        expect(page.locator(".message.success")).to_contain_text("gpt-4o")
        is_live(page)
        page.keyboard.press("/")
        page.keyboard.type("gpt-4")
        expect(page.locator(".model")).to_have_count(1)
        page.keyboard.type("nothing")
        expect(page.locator(".model")).to_have_count(0)
        expect(page.get_by_text("No model has that in its name")).to_be_visible()


def test_a_key_is_made_copied_used_and_revoked(site: Installation, chromium: Any, tmp_path: Path) -> None:
    with person(chromium, site, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(f"{site.url}/keys/")
        open_form(page)
        page.fill("#key-name", HOSTILE)
        press(page, "Make the key")
        plain = page.locator("#plain").text_content()
        page.locator("[data-copy=plain]").click()
        expect(page.locator("[data-copy=plain]")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == plain
        assert site.url in page.locator("#example-curl").text_content()
        headers = {"Authorization": f"Bearer {plain}"}
        body = {"model": MODEL, "messages": [{"role": "user", "content": "say hello"}]}
        answer = page.context.request.post(f"{site.url}/v1/chat/completions", data=body, headers=headers)
        assert answer.status == 200, answer.text()
        page.goto(f"{site.url}/keys/")
        row = page.locator("tr", has_text=HOSTILE)
        expect(page.locator("#plain")).to_have_count(0)
        row.get_by_text("Revoke…").click()
        row.get_by_role("button", name="Revoke it").click()
        expect(page.locator(".message.success")).to_contain_text("is revoked")
        page.wait_for_timeout(6_000)
        refused = page.context.request.get(f"{site.url}/v1/models", headers=headers)
        assert refused.status == 401
        page.goto(f"{site.url}/usage/?by=key")
        expect(page.locator("#sums ~ .scroll tbody")).to_contain_text(HOSTILE)
        expect(page.locator("[data-chart=usage] canvas")).to_be_visible()
        with page.expect_download() as download:
            page.click("text=this table as CSV")
        rows = list(csv.reader(Path(download.value.path()).read_text("utf-8-sig").splitlines()))
        assert HOSTILE in [row[1] for row in rows]
        assert page.title() == "Usage · DPL", "a name was taken for markup"


def test_a_phone_and_a_tablet_scroll_no_page_sideways(site: Installation, chromium: Any) -> None:
    for width in (390, 768):
        with person(chromium, site, viewport={"width": width, "height": 800}, locale="zh-CN") as page:
            for path in PATHS:
                page.goto(site.url + path)
                expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
                page.wait_for_timeout(500)
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)


def test_pages_work_without_scripts(site: Installation, chromium: Any) -> None:
    with person(chromium, site, java_script_enabled=False) as page:
        page.goto(f"{site.url}/models/?q=quick")
        page.locator(".warm button").click()
        expect(page.locator(".message.success")).to_contain_text(re.compile("loaded on", re.I))
        page.goto(f"{site.url}/keys/")
        open_form(page)
        page.fill("#key-name", "plain")
        press(page, "Make the key")
        expect(page.locator("#plain")).to_contain_text("dpl_")
        expect(page.locator("[data-copy=plain]")).to_be_hidden()
        page.goto(f"{site.url}/usage/")
        expect(page.locator("h1")).to_have_text("Usage")


def test_the_admin_opens_under_the_policy_and_leads_back(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/admin/accounts/apikey/add/")
        page.locator(".select2-selection").click()
        expect(page.locator(".select2-results__option", has_text="admin")).to_be_visible()
        page.get_by_role("link", name="Back to the pages").click()
        page.wait_for_url(f"{site.url}/")
