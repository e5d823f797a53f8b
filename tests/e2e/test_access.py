"""Every page of a demo by axe-core, in both themes and languages: no serious fault of access."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.demonstration import Demonstration
from tests.e2e.test_every_page import OF_OTHERS, demo, pictures, reader

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe is not installed: make test-all"
)
__all__ = ("demo",)
SERIOUS = ("serious", "critical")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_no_page_has_a_serious_fault_of_access(
    demo: Demonstration,
    chromium: Any,
    theme: str,
    locale: str,
) -> None:
    found: dict[str, list[str]] = {}
    with reader(chromium, demo, theme=theme, locale=locale) as page:
        for name, href in pictures.pages(page).items():
            if name in OF_OTHERS:
                continue
            page.goto(href)
            page.wait_for_timeout(1_000)
            violations = axe.Axe().run(page).response["violations"]
            serious = [
                f"{one['id']}: {one['nodes'][0]['html'][:200]}"
                for one in violations
                if one["impact"] in SERIOUS
            ]
            if serious:
                found[name] = serious
    assert found == {}
