"""The overview in a real browser: found, sorted, grouped, remembered, locked, alike on both sides, with many hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from dpl_site import arranging
from dpl_site.templatetags import hosts
from tests.chaos.installation import Installation
from tests.e2e.test_pages import HOSTILE, SOON_MS, expect, is_live, person, pytestmark
from tests.engines.simulated import SimulatedEngine
from tests.simulated_agents import add_nodes, simulated_agents

__all__ = ("pytestmark",)
MANY = 40
GIB = 2**30


@pytest.fixture(scope="module")
def site() -> Iterator[Installation]:
    """One installation with two engines and many agents with eight GPUs each."""
    made = Installation(DPL_POLL_INTERVAL_S=1)
    flags: dict[str, Any] = {"tokens_per_second": 0, "slots": 4, "echo": True}
    with (
        simulated_agents(MANY, gpus=8) as agents,
        SimulatedEngine(model="one:1b", preload=True, **flags) as one,
        SimulatedEngine(model="two:1b", preload=True, **flags) as two,
    ):
        try:
            made.start()
            made.manage("node", "add", "quick", "--llm", one.url, "--environment", "lab")
            made.manage("node", "add", HOSTILE, "--llm", two.url)
            add_nodes(made, agents)
            yield made
        finally:
            made.stop()


def test_every_host_is_drawn_with_its_gpus_and_stays_live(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        is_live(page)
        expect(page.locator("article.host")).to_have_count(MANY + 3, timeout=SOON_MS)
        card = page.get_by_role("article", name="box039")
        card.scroll_into_view_if_needed()
        expect(card.locator(".gpus > li")).to_have_count(8)
        expect(card.locator("[data-f=kinds]")).to_have_text("8 × NVIDIA GeForce RTX 4090")
        use = card.locator("[data-f=gpu-use]").first.text_content()
        expect(card.locator("[data-f=gpu-use]").first).not_to_have_text(use or "", timeout=SOON_MS)
        expect(card.locator("[data-d=spark-cpu]")).to_have_attribute("d", re.compile("M"), timeout=SOON_MS)
        expect(page.locator("#sums [data-f=gpus]")).to_have_text(str(8 * MANY))
        expect(page.locator("#curves canvas")).to_be_visible(timeout=SOON_MS)
        link = page.get_by_role("article", name="quick").get_by_role("link", name="quick", exact=True)
        assert "/nodes/" in (link.get_attribute("href") or "")


def test_hosts_are_found_grouped_and_the_choice_is_kept(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        is_live(page)
        page.keyboard.press("/")
        page.keyboard.type("box01 4090")
        expect(page.locator("article.host")).to_have_count(10, timeout=SOON_MS)
        expect(page.locator("[data-f=shown]")).to_have_text(f"10 of {MANY + 3} hosts")
        page.fill("[name=q]", "no such host")
        page.click("[data-clear]")
        expect(page.locator("article.host")).to_have_count(MANY + 3)
        page.select_option("[name=group]", "environment")
        expect(page.locator(".group h2").first).to_contain_text("default")
        page.get_by_role("button", name="Rows").click()
        page.goto(f"{site.url}/")
        expect(page.locator("#fleet")).to_have_attribute("data-view", "rows")
        expect(page.locator(".group")).to_have_count(2)
        page.goto(f"{site.url}/?group=&view=cards&q=lab")
        expect(page.locator("article.host")).to_have_count(1)


def test_hosts_are_arranged_and_shown_alike_on_both_sides(site: Installation, chromium: Any) -> None:
    nodes = site.get("/api/status/all")["nodes"]
    states = {"online": "up and well"}
    wanted = [
        ("", "name", ""),
        ("box", "cpu", "environment"),
        ("UP well", "gpu", ""),
        ("", "heat", "label:x"),
    ]
    sizes: list[list[float | None]] = [
        [None, None],
        [1, None],
        [None, 5 * GIB],
        [3 * GIB, 24 * GIB],
        [7, 900],
    ]
    with person(chromium, site) as page:
        arranged, shown = page.evaluate(
            """async ([nodes, wanted, states, sizes]) => {
                const { arrange, rank } = await import("/static/js/arrange.js");
                const { of, watts } = await import("/static/js/host.js");
                const one = ([text, sort, group]) => {
                    const ranks = new Map(nodes.map((node) => [node.id, rank(node, sort)]));
                    return arrange(nodes, { text, group }, ranks, states)
                        .map(({ key, nodes }) => [key, nodes.map((node) => node.name)]);
                };
                const figures = sizes.map(([used, total]) => of(used, total));
                return [wanted.map(one), [...figures, watts(310), watts(12345.6)]];
            }""",
            [nodes, wanted, states, sizes],
        )
        sums = page.evaluate(
            "async (nodes) => (await import('/static/js/sums.js')).sums(nodes)",
            site.get("/api/status/all")["nodes"],
        )
    for (text, sort, group), found in zip(wanted, arranged, strict=True):
        ours = arranging.arrange(nodes, text=text, sort=sort, group=group, states=states)
        assert found == [[one.key, [node["name"] for node in one.nodes]] for one in ours]
    assert shown == [*(hosts.of(*size) for size in sizes), hosts.watts(310), hosts.watts(12345.6)]
    told = site.get("/api/cluster/overview")
    assert (sums["nodes"], sums["gpus"]) == (told["nodes"]["total"], told["gpus"]["total"])
    assert sums["memory"][1] == told["memory"]["total_bytes"]


def test_a_node_is_locked_and_freed_in_place(site: Installation, chromium: Any) -> None:
    with person(chromium, site, expected="status of 409") as page:
        is_live(page)
        page.evaluate("window.sameDocument = true")
        card = page.get_by_role("article", name="quick")
        card.get_by_role("button", name="Lock this node…").click()
        dialog = page.get_by_role("dialog", name="Lock quick")
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_be_hidden()
        card.get_by_role("button", name="Lock this node…").click()
        site.manage("shell", "-v", "0", "-c", LOCK_IT)
        dialog.get_by_role("button", name="Lock", exact=True).click()
        expect(dialog.get_by_role("alert")).to_contain_text("locked by otto")
        page.keyboard.press("Escape")
        expect(card.locator(".lock")).to_contain_text("otto", timeout=SOON_MS)
        card.get_by_role("button", name="Unlock").click()
        expect(card.locator(".lock")).to_be_hidden()
        assert page.evaluate("window.sameDocument"), "the page was loaded again"


LOCK_IT = (
    "from nodes import locks; from nodes.models import Node\n"
    "node = Node.objects.get(name='quick')\n"
    "locks.lock_node(node_id=node.id, by=locks.PERSON, owner='otto', reason='', ttl_s=600, actor='otto')"
)


def test_a_button_asks_anew_and_says_so(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        page.route_web_socket("**/ws/**", lambda socket: None)
        page.goto(f"{site.url}/")
        with page.expect_response("**/api/status/all"):
            page.get_by_role("button", name="Refresh").click()
        expect(page.locator("article.host")).to_have_count(MANY + 3, timeout=SOON_MS)
        page.unroute_all()


def test_it_works_without_scripts_too(site: Installation, chromium: Any) -> None:
    with person(chromium, site, java_script_enabled=False) as page:
        expect(page.locator("article.host")).to_have_count(24)
        page.get_by_role("link", name="Further").click()
        expect(page.locator("article.host")).to_have_count(MANY + 3 - 24)
        page.fill("[name=q]", "quick")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.locator("article.host")).to_have_count(1)
        page.locator("summary", has_text="Lock this node…").click()
        page.fill("[name=reason]", "by hand")
        page.get_by_role("button", name="Lock", exact=True).click()
        page.goto(f"{site.url}/?q=quick")
        expect(page.locator(".lock")).to_contain_text("by hand")
        page.get_by_role("button", name="Unlock").click()
        page.goto(f"{site.url}/?q=quick")
        expect(page.locator(".lock")).to_be_hidden()


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_no_view_scrolls_sideways(site: Installation, chromium: Any, width: int) -> None:
    with person(chromium, site, viewport={"width": width, "height": 800}, locale="zh-CN") as page:
        for view in ("cards", "rows"):
            page.goto(f"{site.url}/?view={view}")
            expect(page.locator("article.host")).to_have_count(MANY + 3, timeout=SOON_MS)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


def test_a_first_visit_is_small_and_has_no_form_for_each_host(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        session = page.context.new_cdp_session(page)
        sizes: list[int] = []
        session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        page.goto(f"{site.url}/")
        expect(page.locator("article.host")).to_have_count(MANY + 3, timeout=SOON_MS)
        expect(page.locator("#curves canvas")).to_be_visible(timeout=SOON_MS)
        assert 100_000 < sum(sizes) < 250_000
        # Chromium lays out every form that it might fill in, out of sight or not.
        assert page.locator("form").count() < MANY / 4
