"""The two pages in a real browser against a whole installation: live, without scripts, without a socket, in Chinese."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dpl_site.templatetags import show
from tests.chaos.installation import Installation
from tests.e2e import browser
from tests.e2e.browser import CHROMIUM, MISSING
from tests.engines.simulated import SimulatedEngine

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-all")
expect = playwright.expect

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
SOON_MS = 20_000
JOB_MS = 90_000
HOSTILE = "<img src=x onerror=\"document.title='broken'\">"


@pytest.fixture(scope="module")
def site() -> Iterator[Installation]:
    """One installation with two engines, for all tests here."""
    made = Installation(DPL_POLL_INTERVAL_S=1)
    try:
        made.start()
        flags: dict[str, Any] = {"tokens_per_second": 0, "slots": 4, "echo": True}
        with (
            SimulatedEngine(latency_ms=150, dialect="ollama", **flags) as one,
            SimulatedEngine(latency_ms=300, dialect="openai", **flags) as other,
        ):
            made.manage("node", "add", "quick", "--llm", one.url, "--slots", "4")
            made.manage("node", "add", HOSTILE, "--llm", other.url, "--slots", "4")
            yield made
    finally:
        made.stop()


@contextmanager
def person(chromium: Any, site: Installation, *, expected: str = "nothing", **options: Any) -> Iterator[Any]:
    """A page on which the admin is logged in; nothing may go wrong on its console but what is `expected`."""
    context = chromium.new_context(**{"locale": "en-GB", "timezone_id": "Asia/Shanghai"} | options)
    page, wrong = context.new_page(), []
    page.set_default_timeout(SOON_MS)
    page.on("console", lambda message: wrong.extend(_said(message, site)))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    log_in(page, site)
    yield page
    context.close()
    serious = [message for message in wrong if message.startswith(("error", "warning"))]
    assert [message for message in serious if expected not in message] == []


def _said(message: Any, site: Installation) -> list[str]:
    """A line of the console with the address that it is about; a browser's own errands elsewhere are not ours."""
    about = message.location.get("url", "")
    is_ours = not about or about.startswith(site.url)
    return [f"{message.type}: {message.text} {about}"] if is_ours else []


def log_in(page: Any, site: Installation) -> None:
    browser.log_in(page, site.url, *browser.first_login(site.log))


def fill_login(page: Any, site: Installation) -> None:
    browser.fill_login(page, *browser.first_login(site.log))


def rows_in(folder: Path, count: int, **fields: Any) -> Path:
    """A dataset file."""
    file = folder / "rows.json"
    rows = [{"instruction": f"say {number}", "id": number} for number in range(count)]
    file.write_text(json.dumps([*rows[:-1], rows[-1] | fields]))
    return file


def upload(page: Any, site: Installation, file: Path, **fields: str) -> None:
    """Fill in the form and send it."""
    page.goto(f"{site.url}/jobs/")
    page.set_input_files("[name=file]", file)
    if fields:
        page.click("#upload-form summary")
    for name, value in fields.items():
        page.fill(f"[name={name}]", value)
    page.click("#upload-form button")


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def state(page: Any) -> Any:
    return page.locator(".heading .state")


def is_live(page: Any) -> None:
    expect(page.locator("[data-live]")).to_have_attribute("data-is", "live", timeout=SOON_MS)


def test_a_file_goes_through_the_form_live_to_its_result(
    site: Installation, chromium: Any, tmp_path: Path
) -> None:
    with person(chromium, site) as page:
        upload(page, site, rows_in(tmp_path, 400), system="be brief")
        page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}/$"))
        is_live(page)
        page.evaluate("window.sameDocument = true")
        expect(state(page)).to_have_text("running", timeout=SOON_MS)
        expect(page.locator("[data-f=done]")).not_to_have_text("0", timeout=SOON_MS)
        expect(state(page)).to_have_text("completed", timeout=JOB_MS)
        expect(page.locator("[data-f=succeeded]")).to_have_text("400")
        expect(page.locator(".bar")).to_have_attribute("aria-valuenow", "100")
        expect(page.locator("tbody[data-list=nodes] tr")).to_have_count(2)
        expect(page.locator("[data-say]")).to_contain_text("completed: 400 of 400 done")
        assert page.evaluate("window.sameDocument"), "the page was loaded again"
        with page.expect_download() as download:
            page.click("text=JSONL")
        lines = Path(download.value.path()).read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines] == list(range(400))
        assert page.title().startswith("rows.json")


def test_it_stops_resumes_and_aborts(site: Installation, chromium: Any, tmp_path: Path) -> None:
    with person(chromium, site) as page:
        upload(page, site, rows_in(tmp_path, 5_000))
        expect(state(page)).to_have_text("running", timeout=SOON_MS)
        press(page, "Stop")
        expect(page.get_by_role("dialog")).to_contain_text("What is done is kept")
        press(page, "Keep it running")
        press(page, "Stop")
        press(page, "Let what runs finish")
        expect(state(page)).to_have_text("stopped", timeout=SOON_MS)
        expect(page.get_by_role("button", name="Stop", exact=True)).to_be_hidden()
        press(page, "Resume")
        expect(state(page)).to_have_text("running", timeout=SOON_MS)
        press(page, "Abort")
        press(page, "Cut off what runs")
        expect(state(page)).to_have_text("stopped", timeout=SOON_MS)
        with page.expect_download() as download:
            page.click(".downloads >> text=JSON")
        assert len(json.loads(Path(download.value.path()).read_text())) == 5_000


def test_a_bad_row_is_told_at_the_form_which_keeps_all(
    site: Installation, chromium: Any, tmp_path: Path
) -> None:
    with person(chromium, site, expected="status of 400") as page:
        upload(page, site, rows_in(tmp_path, 20, instruction=7), name="kept")
        told = page.locator("[data-errors=file] li")
        expect(told).to_have_text(re.compile(r"Row 19: instruction is a number"))
        expect(page.locator("[name=name]")).to_have_value("kept")
        assert page.evaluate("document.querySelector('[name=file]').files.length") == 1
        page.set_input_files("[name=file]", rows_in(tmp_path, 2))
        page.click("#upload-form button")
        expect(page.locator("h1")).to_have_text("kept")


def test_the_fleet_is_live_and_a_node_is_locked_and_freed(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page, SimulatedEngine(tokens_per_second=0, slots=1) as engine:
        is_live(page)
        expect(page.locator(".host")).to_have_count(3)
        card = page.get_by_role("article", name="quick")
        card.get_by_role("button", name="Lock this node…").click()
        dialog = page.get_by_role("dialog")
        dialog.locator("[name=reason]").fill("half a sentence")
        site.manage("node", "add", "late", "--llm", engine.url)
        late = page.get_by_role("article", name="late", include_hidden=True)
        expect(late.locator(".state")).to_have_text("online", timeout=SOON_MS)
        expect(late.locator("[data-f=slots]")).to_have_text("1")
        expect(dialog.locator("[name=reason]")).to_have_value("half a sentence")
        assert page.title() == "Overview · DPL", "a name was taken for markup"
        dialog.get_by_role("button", name="Cancel").click()
        late.get_by_role("button", name="Lock this node…").click()
        dialog.locator("[name=reason]").fill("mine now")
        dialog.get_by_role("button", name="Lock", exact=True).click()
        expect(late.locator(".lock")).to_contain_text("mine now")
        late.get_by_role("button", name="Unlock").click()
        expect(late.locator(".lock")).to_be_hidden()
        site.manage("node", "remove", "late")
        expect(late).to_have_count(0, timeout=SOON_MS)


def test_it_asks_the_api_while_there_is_no_socket_and_says_so(
    site: Installation, chromium: Any, tmp_path: Path
) -> None:
    with person(chromium, site) as page:
        page.route_web_socket("**/ws/**", lambda socket: socket.close())
        upload(page, site, rows_in(tmp_path, 60))
        mark = page.locator("[data-live]")
        expect(mark).to_have_attribute("data-is", "polling", timeout=SOON_MS)
        expect(mark).to_contain_text("interrupted")
        expect(state(page)).to_have_text("completed", timeout=JOB_MS)
        page.unroute_all()


def test_it_works_without_scripts(site: Installation, chromium: Any, tmp_path: Path) -> None:
    with person(chromium, site, java_script_enabled=False) as page:
        expect(page.locator("[data-live]")).to_have_text("Reload the page for news.")
        upload(page, site, rows_in(tmp_path, 30))
        page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}/$"))
        for _ in range(60):
            if state(page).text_content() == "completed":
                break
            page.wait_for_timeout(500)
            page.reload()
        expect(page.locator("[data-f=succeeded]")).to_have_text("30")


def test_the_list_of_jobs_is_live_too(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        for path in ("/", "/jobs/"):
            page.goto(site.url + path)
            job_id = site.upload(
                [{"instruction": f"say {number}"} for number in range(80)], name=f"at {path}"
            )
            row = page.locator(f"[data-key='{job_id}']")
            expect(row.locator(".state")).to_have_text("completed", timeout=JOB_MS)
            expect(row.locator("[data-f=done]")).to_have_text("80")
            expect(row.locator("a")).to_have_attribute("href", f"/jobs/{job_id}/")


def test_a_phone_scrolls_no_page_sideways(site: Installation, chromium: Any) -> None:
    job_id = site.upload([{"instruction": "say"}], name="x" * 150)
    with person(chromium, site, viewport={"width": 390, "height": 800}, locale="zh-CN") as page:
        for path in ("/", "/jobs/", f"/jobs/{job_id}/", "/password/"):
            page.goto(site.url + path)
            expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
            page.wait_for_timeout(500)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        page.click("text=English")
        expect(page.locator("html")).to_have_attribute("lang", "en")


def test_scripts_and_server_show_values_alike(site: Installation, chromium: Any) -> None:
    values = [None, 0, 0.42, 5, 9.96, 59.6, 61.25, 3_725, 86_399, 200_000, 1_536, 24 * 2**30, 3 * 2**50]
    names = ("size", "percent", "share", "heat", "number", "duration")
    with person(chromium, site) as page:
        shown = page.evaluate(
            """async ([values, names]) => {
                const show = await import("/static/js/show.js");
                return names.map((name) => values.map((value) => show[name](value)));
            }""",
            [values, list(names)],
        )
        assert shown == [[getattr(show, name)(value) for value in values] for name in names]


def test_times_are_the_readers_own(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        is_live(page)
        utc, seen = page.evaluate(
            "(([one]) => [one.dateTime, one.textContent])(document.querySelectorAll('.host time'))"
        )
        assert seen.endswith(f"{(int(utc[11:13]) + 8) % 24:02d}:{utc[14:19]}")


def test_an_admin_makes_a_line_and_sees_who_joins_by_it(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        panel = page.locator("#invite")
        page.locator("#add-node").click()
        panel.locator("[name=name]").fill(HOSTILE + "2")
        press(page, "Make the line")
        line = panel.locator('[data-f="linux"]')
        expect(line).to_contain_text(f"dpl-agent join {site.url} dpj_")
        expect(panel).to_contain_text("Waiting for the machine")
        panel.get_by_role("tab", name="Windows").click()
        expect(panel.locator('[data-f="windows"]')).to_contain_text("dpl-agent")
        expect(line).to_be_hidden()
        panel.get_by_role("tab", name="Windows").press("ArrowRight")
        expect(panel.get_by_role("tab", name="Linux")).to_have_attribute("aria-selected", "true")
        expect(line).to_be_visible()
        expect(panel.get_by_role("button", name="Copy")).to_have_count(1)
        told = {
            "token": line.text_content().split()[-1],
            "hostname": "box",
            "machine_id": "a-machine",
            "port": 1,
            "engines": [{"base_url": "http://127.0.0.1:1", "kind": "ollama"}],
        }
        answer = page.context.request.post(f"{site.url}/api/v1/agents/join", data=told)
        assert answer.status == 201
        joined = panel.locator('[data-f="joined-name"]')
        expect(joined).to_have_text(HOSTILE + "2", timeout=SOON_MS)
        assert "/nodes/" in (joined.get_attribute("href") or "")
        expect(panel.get_by_text("Waiting for the machine")).to_be_hidden()
        expect(panel).to_contain_text("Its agent cannot be reached from here")
        expect(panel.locator('[data-f="joined-reason"]')).to_contain_text("OLLAMA_HOST=0.0.0.0")
        expect(page.get_by_role("heading", name=HOSTILE + "2", exact=True)).to_be_visible(timeout=SOON_MS)
        site.manage("node", "remove", HOSTILE + "2")
