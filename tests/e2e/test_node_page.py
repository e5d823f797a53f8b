"""A node's page in a real browser: live figures and curves, its models, its lock; without scripts too."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.chaos.installation import Installation
from tests.e2e.browser import CHROMIUM, MISSING
from tests.e2e.test_pages import HOSTILE, SOON_MS, expect, is_live, person, press
from tests.engines.simulated import SimulatedEngine
from tests.machines import Asked, Said, serving
from tests.nodes.told import STATUS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
GPU = STATUS["gpus"][0]


def machine(asked: Asked) -> Said:
    """An agent that measures something new each time, on a machine whose processes have hostile names."""
    if not asked.path.startswith("/status"):
        return Said({"locked": asked.path == "/lock", "lock": None})
    process = GPU["processes"][0] | {"command": HOSTILE, "user": HOSTILE}
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    gpu = GPU | {"utilization_percent": time.time() % 100, "processes": [process]}
    return Said(STATUS | {"sampled_at": now, "gpus": [gpu, gpu | {"index": 1, "uuid": "GPU-2"}]}, skew_s=60)


@pytest.fixture(scope="module")
def site() -> Iterator[Installation]:
    """One installation with a machine that has GPUs and a model on its disk, and one without an agent."""
    made = Installation(DPL_POLL_INTERVAL_S=1)
    flags: dict[str, Any] = {"tokens_per_second": 0, "slots": 2}
    try:
        made.start()
        with (
            serving(machine) as agent,
            SimulatedEngine(dialect="ollama", **flags) as one,
            SimulatedEngine(dialect="openai", **flags) as other,
        ):
            made.manage("node", "add", "gpubox", "--llm", one.url, "--monitor", agent.url, "--slots", "2")
            made.manage("node", "add", HOSTILE, "--llm", other.url)
            yield made
    finally:
        made.stop()


def path_of(page: Any, site: Installation, name: str) -> str:
    """The path of a node's page."""
    nodes = page.context.request.get(f"{site.url}/api/v1/nodes/").json()["results"]
    return next(f"/nodes/{one['id']}/" for one in nodes if one["name"] == name)


def go(page: Any, site: Installation, name: str = "gpubox", query: str = "") -> None:
    page.goto(site.url + path_of(page, site, name) + query)


def test_its_figures_and_curves_move_by_themselves(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        go(page, site, query="?range=5m")
        is_live(page)
        figures = page.locator("[data-list=gpus] [data-f=g-percent]")
        first = figures.first.text_content()
        expect(figures.first).not_to_have_text(first, timeout=SOON_MS)
        expect(page.locator(".curve:visible")).to_have_count(9)
        expect(page.locator(".curve canvas:visible")).to_have_count(9)
        expect(page.locator("[data-curve=gpu_power_w] .u-legend")).to_contain_text("GPU 1")
        expect(page.locator("[data-list=processes] tr")).to_have_count(2)
        expect(page.get_by_text(re.compile("Its clock is (59|60)"))).to_be_visible()
        assert page.title() == "gpubox · DPL", "a name was taken for markup"


def test_one_cursor_stands_over_all_curves(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        go(page, site, query="?range=5m")
        expect(page.locator("[data-curve=gpu_power_w] canvas")).to_be_visible(timeout=SOON_MS)
        page.locator("[data-curve='cpu_percent'] .u-over").hover()
        times = page.locator(".curve:visible .u-legend .u-series:first-child td")
        expect(times.first).not_to_have_text("–")
        shown = set(times.all_text_contents())
        assert len(shown) == 1, shown


def test_a_range_is_chosen_without_loading_the_page_and_is_a_link(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        go(page, site)
        page.evaluate("window.sameDocument = true")
        with page.expect_response(re.compile(r"from=-6h")):
            page.click("text=6 hours")
        assert page.url.endswith("?range=6h")
        expect(page.locator("[data-range-choice='6h']")).to_have_attribute("aria-current", "true")
        page.go_back()
        expect(page.locator("[data-range-choice='1h']")).to_have_attribute("aria-current", "true")
        assert page.evaluate("window.sameDocument"), "the page was loaded again"


def test_curves_that_are_zoomed_into_stand_still_until_all_is_shown_again(
    site: Installation, chromium: Any
) -> None:
    with person(chromium, site) as page:
        go(page, site, query="?range=5m")
        over = page.locator("[data-curve='cpu_percent'] .u-over")
        expect(over).to_be_visible()
        page.wait_for_timeout(1000)
        box = over.bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20, steps=5)
        page.mouse.up()
        again = page.locator("[data-unzoom]")
        expect(again).to_be_visible()
        page.wait_for_timeout(6000)
        expect(again).to_be_visible()
        again.click()
        expect(again).to_be_hidden()


def test_a_model_is_unloaded_and_warmed_up(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        go(page, site)
        is_live(page)
        page.evaluate("window.sameDocument = true")
        for action, said in (("Unload", "is unloaded"), ("Warm up", "is in memory")):
            button = page.get_by_role("button", name=action, exact=True)
            if action == "Unload" and not button.is_visible():
                press(page, "Warm up")
            expect(button).to_be_visible(timeout=SOON_MS)
            button.click()
            expect(page.locator("[data-f=model-said]")).to_contain_text(said, timeout=SOON_MS)
            expect(button).to_be_hidden(timeout=SOON_MS)
        assert page.evaluate("window.sameDocument"), "the page was loaded again"


def test_it_is_locked_and_unlocked_and_the_scheduler_says_so(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        go(page, site, query="?range=15m")
        page.fill("[name=reason]", HOSTILE)
        page.get_by_role("button", name="Lock", exact=True).click()
        page.wait_for_url(re.compile(r"/nodes/\d+/\?range=15m$"))
        expect(page.locator("#lock .lock")).to_contain_text(HOSTILE)
        expect(page.locator("[data-if=e-out]").first).to_be_visible(timeout=SOON_MS)
        expect(page.locator("[data-f=e-why]").first).to_have_text("The node is locked.")
        press(page, "Unlock")
        expect(page.locator("#lock .lock")).to_be_hidden()
        expect(page.locator("[data-if=e-in]").first).to_be_visible(timeout=SOON_MS)


def test_it_works_without_scripts(site: Installation, chromium: Any) -> None:
    with person(chromium, site, java_script_enabled=False) as page:
        go(page, site)
        expect(page.get_by_text("The curves are drawn by a script.")).to_be_visible()
        if not page.get_by_role("button", name="Unload", exact=True).is_visible():
            press(page, "Warm up")
        press(page, "Unload")
        expect(page.locator(".message.success")).to_contain_text("is unloaded")
        press(page, "Warm up")
        expect(page.locator(".message.success")).to_contain_text("is in memory")
        page.fill("[name=reason]", "by hand")
        press(page, "Lock")
        expect(page.locator("#lock .lock")).to_contain_text("by hand")
        press(page, "Unlock")
        expect(page.locator(".message.success")).to_have_text("The node is free.")


def test_it_asks_the_api_while_there_is_no_socket(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        page.route_web_socket("**/ws/**", lambda socket: socket.close())
        go(page, site)
        expect(page.locator("[data-live]")).to_have_attribute("data-is", "polling", timeout=SOON_MS)
        figures = page.locator("[data-list=gpus] [data-f=g-percent]")
        first = figures.first.text_content()
        expect(figures.first).not_to_have_text(first, timeout=SOON_MS)
        page.unroute_all()


def test_a_removed_node_says_that_it_is_gone(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page, SimulatedEngine(tokens_per_second=0, slots=1) as engine:
        site.manage("node", "add", "leaving", "--llm", engine.url)
        go(page, site, "leaving")
        is_live(page)
        site.manage("node", "remove", "leaving")
        expect(page.locator("[data-live]")).to_have_attribute("data-is", "gone", timeout=SOON_MS)


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_no_width_scrolls_sideways(site: Installation, chromium: Any, width: int) -> None:
    with person(chromium, site, viewport={"width": width, "height": 800}, locale="zh-CN") as page:
        for name in ("gpubox", HOSTILE):
            go(page, site, name)
            expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
            page.wait_for_timeout(1500)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
