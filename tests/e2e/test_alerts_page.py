"""The pages of alerts in a real browser: an agent that falls silent, rules with preview, silences, a real webhook."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from alerts import words
from tests.alerts.receivers import WebhookReceiver, running
from tests.chaos.installation import Installation
from tests.e2e.test_pages import SOON_MS, expect, fill_login, person, press, pytestmark
from tests.engines.simulated import ROOT, SimulatedEngine, free_port

__all__ = ["pytestmark"]
HOSTILE = "<img src=x onerror=\"document.title='broken'\">"
RULE = {"name": HOSTILE, "metric": "agent_up", "operator": "<", "fire_value": 1, "for_s": 0, "keep_s": 0}
LATER_MS = 40_000
CAUGHT = """
    window.caught = [];
    window.Notification = class {
        static permission = "granted";
        static requestPermission = async () => "granted";
        constructor(title, { body }) { window.caught.push(body); }
    };
"""


class Agent:
    """The real agent of a machine, which can be stopped and started again at its address."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It answers soon; one that runs goes on."""
        if self._process is not None:
            return
        command = [sys.executable, "-m", "agent", "--port", str(self.port)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        """Nobody answers there any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """One that answers at first."""
    made = Agent()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def site(agent: Agent) -> Iterator[Installation]:
    """An installation with one machine besides its own, and a rule on its agent."""
    made = Installation(DPL_POLL_INTERVAL_S=1, DPL_NOTICE_WAIT_S=0)
    try:
        made.start()
        with SimulatedEngine(tokens_per_second=0, slots=1) as engine:
            made.manage("node", "add", "box", "--llm", engine.url, "--monitor", agent.url)
            answer = httpx.post(
                f"{made.url}/api/v1/rules/", json=RULE, headers={"Authorization": f"Bearer {made.key}"}
            )
            assert answer.status_code == 201, answer.text
            yield made
    finally:
        made.stop()


@pytest.fixture
def silent(agent: Agent, site: Installation) -> Iterator[Agent]:
    """An agent that has fallen silent, and whose alert fires; well again afterwards."""
    agent.stop()
    site.wait_for(lambda: fires(site), 30, "the alert to fire")
    yield agent
    agent.start()
    site.wait_for(lambda: not fires(site), 30, "the alert to end")


def fires(site: Installation) -> bool:
    return any(one["rule"] == HOSTILE for one in site.get("/api/alerts")["alerts"])


def card(page: Any) -> Any:
    return page.get_by_role("article", name=HOSTILE, exact=True)


def bell(page: Any) -> Any:
    return page.locator("[data-bell-count]")


def opened(page: Any, site: Installation, path: str) -> None:
    page.goto(site.url + path)
    page.evaluate("window.sameDocument = true")


def test_an_alert_fires_is_acknowledged_and_resolves_before_ones_eyes(
    site: Installation, chromium: Any, agent: Agent
) -> None:
    with person(chromium, site) as page:
        elsewhere = page.context.new_page()
        elsewhere.add_init_script(CAUGHT)
        elsewhere.goto(f"{site.url}/alerts/")
        elsewhere.get_by_role("button", name="Notify me in this browser").click()
        expect(elsewhere.locator("[data-notify-said]")).to_contain_text("are on")
        elsewhere.goto(f"{site.url}/jobs/")
        opened(page, site, "/alerts/")
        expect(page.locator("[data-live]")).to_have_attribute("data-is", "live", timeout=SOON_MS)
        expect(card(page)).to_have_count(0)
        agent.stop()
        expect(card(page)).to_be_visible(timeout=LATER_MS)
        expect(card(page).locator("[data-f=state]")).to_have_text("firing")
        expect(card(page).locator("[data-f=node]")).to_have_text("box")
        expect(card(page).locator("[data-f=value]")).to_have_text("silent")
        expect(bell(elsewhere)).to_have_text(bell(page).text_content(), timeout=SOON_MS)
        expect(bell(elsewhere)).to_be_visible()
        site.wait_for(lambda: elsewhere.evaluate("window.caught.length"), 40, "the notification")
        assert HOSTILE in elsewhere.evaluate("window.caught.join()")

        card(page).locator("[name=note]").fill("I pulled the plug")
        card(page).get_by_role("button", name="Acknowledge", exact=True).click()
        expect(card(page).locator(".seen-by")).to_contain_text("admin")
        expect(card(page).locator("[data-f=note]")).to_have_text("I pulled the plug")
        page.evaluate("window.sameDocument = true")
        agent.start()
        expect(card(page)).to_have_count(0, timeout=LATER_MS)
        assert page.evaluate("window.sameDocument"), "the page was loaded again"
        assert page.title() == "Alerts · DPL", "a name was taken for markup"

        page.get_by_role("link", name="History").click()
        row = page.locator("tr", has_text=HOSTILE).first
        expect(row.locator(".state")).to_have_text("resolved")
        expect(row.locator(".life rect.firing")).to_have_count(1)
        row.get_by_role("link").click()
        steps = page.locator(".steps > li")
        expect(steps).to_have_count(3)
        expect(steps.nth(1)).to_contain_text("I pulled the plug")
        expect(steps.last).to_contain_text("resolved")


def test_the_page_of_one_alert_follows_its_life(site: Installation, chromium: Any, silent: Agent) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/alerts/")
        card(page).get_by_role("link", name=HOSTILE).click()
        shown, steps = page.locator("[data-part=head] .state"), page.locator(".steps > li")
        expect(shown).to_have_text("firing")
        expect(page.locator("[data-live]")).to_have_attribute("data-is", "live", timeout=SOON_MS)
        page.evaluate("window.sameDocument = true")
        page.locator("[name=comment]").evaluate("field => { field.closest('details').open = true }")
        page.locator("[name=comment]").fill("half a sentence")
        acknowledge(site, page.url.rstrip("/").rsplit("/", 1)[1], "on my way")
        expect(steps.last).to_contain_text("on my way", timeout=SOON_MS)
        expect(page.get_by_role("button", name="Take the acknowledgement back")).to_be_visible()
        silent.start()
        expect(shown).to_have_text("resolved", timeout=LATER_MS)
        expect(steps.last).to_contain_text("resolved")
        expect(page.locator("[data-part=doing]")).to_be_hidden()
        expect(page.locator("[data-say]")).to_contain_text("resolved")
        assert page.evaluate("window.sameDocument"), "the page was loaded again"


def acknowledge(site: Installation, alert_id: str, note: str) -> None:
    answer = httpx.post(
        f"{site.url}/api/v1/alerts/{alert_id}/acknowledge/",
        json={"note": note},
        headers={"Authorization": f"Bearer {site.key}"},
    )
    assert answer.status_code == 200, answer.text


def test_the_page_of_one_alert_asks_by_itself_while_the_socket_is_cut(
    site: Installation, chromium: Any, silent: Agent
) -> None:
    with person(chromium, site) as page:
        page.route_web_socket("**/ws/**", lambda socket: socket.close())
        page.goto(f"{site.url}/alerts/")
        card(page).get_by_role("link", name=HOSTILE).click()
        expect(page.locator("[data-live]")).to_have_attribute("data-is", "polling", timeout=SOON_MS)
        acknowledge(site, page.url.rstrip("/").rsplit("/", 1)[1], "by polling")
        expect(page.locator(".steps > li").last).to_contain_text("by polling", timeout=SOON_MS)


def test_whoever_is_logged_out_is_told_and_led_to_the_login_and_back(
    site: Installation, chromium: Any
) -> None:
    with person(chromium, site, expected="401") as page:
        page.goto(f"{site.url}/alerts/rules/new/")
        expect(page.locator("#ended")).to_be_hidden()
        page.context.clear_cookies(name="sessionid")
        page.locator("[name=fire_value]").fill("90")
        expect(page.locator("#ended")).to_be_visible(timeout=SOON_MS)
        expect(page.locator("#preview .said")).to_contain_text("You are logged out here")
        assert page.locator("[name=fire_value]").input_value() == "90", "what was typed is gone"
        page.locator("#ended a").click()
        fill_login(page, site)
        page.wait_for_url(f"{site.url}/alerts/rules/new/")


def test_what_fires_is_silenced_from_its_card_and_the_silence_is_ended(
    site: Installation, chromium: Any, silent: Agent
) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/alerts/")
        card(page).locator("summary").click()
        card(page).locator("[name=comment]").fill("being repaired")
        card(page).get_by_role("button", name="Silence", exact=True).click()
        expect(page.locator(".message.success")).to_contain_text("Silent from now on")
        page.get_by_role("link", name="Silences").click()
        row = page.locator("tr", has_text="being repaired")
        expect(row).to_contain_text(f"{HOSTILE} · box")
        expect(row).to_contain_text("admin")
        row.get_by_role("button", name="End now").click()
        expect(page.locator("#silences-past")).to_be_visible()
        expect(page.locator("tr", has_text="being repaired")).to_contain_text("ended by admin")


def test_a_planned_silence_is_in_the_readers_zone(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/alerts/silences/")
        page.locator("#silence summary").click()
        expect(page.locator("[data-zone]")).to_have_text("Asia/Shanghai")
        page.fill("[name=environment]", "lab")
        page.fill("[name=starts_at]", "2099-01-01T08:00")
        page.fill("[name=ends_at]", "2099-01-01T10:30")
        press(page, "Silence")
        times = page.locator("section", has=page.locator("#silences-coming")).locator("tbody time")
        expect(times.first).to_have_attribute("datetime", "2099-01-01T00:00:00.000Z")
        expect(times.last).to_contain_text("10:30")


def test_a_rule_is_made_with_its_preview_and_switched_off(site: Installation, chromium: Any) -> None:
    with person(chromium, site, expected="status of 400") as page:
        page.goto(f"{site.url}/alerts/rules/")
        page.get_by_role("link", name="New rule").click()
        said = page.locator("#preview .said")
        expect(said).to_contain_text("Enter the value")
        page.fill("[name=name]", "Memory at all")
        page.select_option("[name=metric]", "memory_percent")
        page.fill("[name=for_s]", "0")
        page.fill("[name=fire_value]", "0.001")
        expect(said).to_contain_text("It would have fired", timeout=SOON_MS)
        expect(page.locator("#preview canvas").first).to_be_visible()
        expect(page.locator(".episodes > li").first).to_contain_text("%")
        page.fill("[name=fire_value]", "99.9")
        expect(said).to_have_text("It would not have fired.", timeout=SOON_MS)
        page.fill("[name=clear_value]", "100")
        expect(said).to_contain_text("at or below the fire value", timeout=SOON_MS)
        press(page, "Save the rule")
        expect(page.locator("[data-errors=clear_value] li")).to_contain_text("at or below the fire value")
        page.fill("[name=clear_value]", "90")
        press(page, "Another place")
        page.fill("[name=scopes-1-environment]", "lab")
        expect(said).to_contain_text("has a history yet", timeout=SOON_MS)
        press(page, "Save the rule")
        row = page.locator("tr", has_text="Memory at all")
        expect(row).to_contain_text("Memory > 99.9 %")
        expect(row).to_contain_text("environment lab")
        switch = row.get_by_role("switch")
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "false")


def test_a_channel_is_tested_against_a_real_receiver_and_told_of_an_alert(
    site: Installation, chromium: Any, agent: Agent
) -> None:
    receiver = WebhookReceiver()
    with running(receiver), person(chromium, site) as page:
        page.goto(f"{site.url}/alerts/channels/")
        page.fill("[name=name]", HOSTILE)
        page.fill("[name=url]", receiver.url)
        press(page, "Save the channel")
        expect(page.locator(".message.success")).to_contain_text("is saved")
        outcome = page.locator("[data-outcome]")
        press(page, "Send a test")
        expect(outcome).to_have_text("It took the message.", timeout=LATER_MS)
        assert receiver.taken[0][1]["title"] == "DPL: a test"
        receiver.status = 500
        press(page, "Send a test")
        expect(outcome).to_contain_text("It did not take the message", timeout=LATER_MS)
        receiver.status = 200
        agent.stop()
        site.wait_for(lambda: len(receiver.taken) > 2, 60, "the message of the alert")
        agent.start()
        site.wait_for(lambda: not fires(site), 30, "the alert to end")
        page.reload()
        row = page.locator("section", has=page.locator("#log")).locator("tbody tr").last
        expect(row.locator(".state")).to_have_text("sent")
        expect(row).to_contain_text(HOSTILE)
        assert f":{receiver.server_port}/" not in page.content(), "an address came out"
        page.get_by_role("link", name="Change").click()
        expect(page.locator("[name=url]")).to_have_value("")
        page.locator("summary", has_text="Remove this channel").click()
        press(page, "Remove the channel")
        expect(page.locator(".empty").first).to_contain_text("No channel is here yet")


def test_the_bell_asks_now_and_then_while_there_is_no_socket(
    site: Installation, chromium: Any, silent: Agent
) -> None:
    with person(chromium, site) as page:
        page.route_web_socket("**/ws/**", lambda socket: socket.close())
        page.goto(f"{site.url}/alerts/")
        expect(page.locator("[data-live]")).to_have_attribute("data-is", "polling", timeout=SOON_MS)
        expect(bell(page)).to_be_visible()
        expect(card(page)).to_be_visible()
        page.unroute_all()


def test_it_works_without_scripts(site: Installation, chromium: Any, silent: Agent) -> None:
    with person(chromium, site, java_script_enabled=False) as page:
        page.goto(f"{site.url}/alerts/")
        expect(bell(page)).to_be_visible()
        card(page).get_by_role("button", name="Acknowledge", exact=True).click()
        expect(card(page).locator(".seen-by")).to_contain_text("admin")
        page.goto(f"{site.url}/alerts/rules/3/")
        page.fill("[name=fire_value]", "0.01")
        page.fill("[name=clear_value]", "")
        page.fill("[name=for_s]", "0")
        press(page, "Show when it would have fired")
        expect(page.locator("#preview .said")).to_contain_text("It would have fired")


def test_a_phone_scrolls_no_page_sideways(site: Installation, chromium: Any, silent: Agent) -> None:
    pages = ("", "history/", "history/1/", "rules/", "rules/1/", "rules/new/", "silences/", "channels/")
    with person(chromium, site, viewport={"width": 390, "height": 800}, locale="zh-CN") as page:
        for path in pages:
            page.goto(f"{site.url}/alerts/{path}")
            expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
            page.wait_for_timeout(500)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            text = page.locator("main").inner_text()
            assert not re.search(r"%\(|\{\w+\}", text), path


def test_scripts_and_server_tell_readings_alike(site: Installation, chromium: Any) -> None:
    values = [None, 0.0, 1.0, 0.0123456, 93.25, 999.96, 12_345.6, 3.0 * 2**30]
    of = ("cpu_percent", "gpu_temperature_c", "net_rx_mbps", "memory_used_bytes", "load1", "node_up")
    with person(chromium, site) as page:
        page.goto(f"{site.url}/alerts/")
        told = page.evaluate(
            """async ([values, of]) => {
                const { reading } = await import("/static/js/reading.js");
                return of.map((metric) => values.map((value) => reading(metric, value)));
            }""",
            [values, list(of)],
        )
        assert told == [[words.reading(value, metric) for value in values] for metric in of]


def test_the_palette_leads_to_what_is_often_done_by_words_of_either_language(
    site: Installation, chromium: Any
) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/jobs/")
        page.keyboard.press("Control+k")
        page.keyboard.type("新建静默")
        expect(page.locator("#palette [data-words]:visible")).to_have_count(1)
        expect(page.locator("#palette [data-at]")).to_have_text("New silence")
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.url}/alerts/silences/#silence")
        expect(page.locator("#silence select").first).to_be_focused()
        page.keyboard.press("Escape")
        page.locator("h1").click()
        page.keyboard.press("?")
        page.locator("#shortcuts input").fill("数据集")
        expect(page.locator("#shortcuts [data-words]:visible")).to_have_count(1)


def test_a_rules_form_says_what_the_rule_means(site: Installation, chromium: Any) -> None:
    with person(chromium, site) as page:
        page.goto(f"{site.url}/alerts/rules/new/")
        said = page.locator("[data-f=means]")
        expect(said).to_be_hidden()
        page.locator("[name=metric]").select_option("cpu_percent")
        page.locator("[name=aggregation]").select_option("last")
        page.locator("[name=fire_value]").fill("90")
        page.locator("[name=clear_value]").fill("80")
        page.locator("[name=for_s]").fill("60")
        expect(said).to_contain_text("anywhere, once CPU is above 90 % for 1m 00s.")
        expect(said).to_contain_text("the value is down to 80 %")
