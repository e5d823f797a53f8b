"""A Chinese page says in Chinese why a node is ill, when it is loaded and when the news come; in both places alike."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dpl_site.said import sentences
from tests.chaos.installation import Installation
from tests.e2e.browser import CHROMIUM, MISSING
from tests.e2e.test_pages import SOON_MS, is_live, person, playwright
from tests.engines.simulated import SimulatedEngine
from tests.site.test_said import decisions, failures, faults, states

expect = playwright.expect
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)


def test_a_chinese_page_says_what_is_wrong_in_chinese(installation: Installation, chromium: Any) -> None:
    wrong = re.compile("上没有程序在监听；请启动引擎，或检查端口")
    with SimulatedEngine() as engine:
        installation.manage("node", "add", "quick", "--llm", engine.url)
        with person(chromium, installation, locale="zh-CN") as page:
            is_live(page)
            card = page.get_by_role("article", name="quick")
            expect(card.locator("[data-f=reason]").first).to_be_hidden()
            engine.kill()
            expect(card.locator("[data-f=reason]").first).to_have_text(wrong, timeout=SOON_MS)
            page.reload()
            expect(card.locator("[data-f=reason]").first).to_have_text(wrong)
            card.get_by_role("link", name="quick", exact=True).click()
            expect(page.locator("[data-f=reason]").first).to_have_text(wrong)


def test_scripts_and_templates_say_the_same(installation: Installation, chromium: Any) -> None:
    english = [*failures(), *decisions(), *states(), *faults(), "an engine's own; words: stay"]
    with person(chromium, installation, locale="zh-CN") as page:
        source = (
            page.locator("script[src*='js/menu']").get_attribute("src").replace("js/menu", "js/sentences")
        )
        source = re.sub(r"sentences\.[0-9a-f]+\.js", "sentences.js", source)
        script = "([source, all]) => import(source).then((one) => all.map(one.inWords))"
        assert page.evaluate(script, [source, english]) == [sentences("zh-hans").told(one) for one in english]
