"""Where a form leads when it is done."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from dpl_site.lib.back import back


def led(wanted: str | None) -> str:
    """Where a form with this field leads."""
    form = {} if wanted is None else {"next": wanted}
    return back(RequestFactory().post("/nodes/1/lock", form), "/otherwise/").url


@pytest.mark.parametrize("path", ["/", "/nodes/1/?range=5m", "/nodes/1/#lock"])
def test_a_form_leads_back_to_the_page_it_came_from(path: str) -> None:
    assert led(path) == path


@pytest.mark.parametrize(
    "elsewhere",
    [
        *(None, "", "nodes/1/", "https://evil.example/", "//evil.example/", "/\\evil.example/"),
        *("///evil.example", "javascript:alert(1)", "http:///evil.example", "/\tevil", "/\x00"),
    ],
)
def test_nobody_is_led_out_of_the_site(elsewhere: str | None) -> None:
    found = led(elsewhere)
    assert found == "/otherwise/" or (found.startswith("/") and found[1:2] not in ("/", "\\")), found


def test_an_address_of_another_host_leads_to_the_usual_page() -> None:
    for wanted in ("https://evil.example/", "//evil.example/", "/\\evil.example/", "///evil.example"):
        assert led(wanted) == "/otherwise/", wanted
