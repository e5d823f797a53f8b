"""Whatever form of an agent's address people paste becomes its base URL, or is refused in words."""

from __future__ import annotations

import pytest

from nodes.agent_url import AgentUrlError, parse_agent_url


@pytest.mark.parametrize(
    ("pasted", "means"),
    [
        ("http://10.0.0.2:8001", "http://10.0.0.2:8001"),
        (" http://10.0.0.2:8001/ ", "http://10.0.0.2:8001"),
        ("10.0.0.2", "http://10.0.0.2:8001"),
        ("Box.LAN:9000", "http://box.lan:9000"),
        ("http://10.0.0.2:8001/status", "http://10.0.0.2:8001"),
        ("http://10.0.0.2:8001/api/health", "http://10.0.0.2:8001"),
        ("https://box/agents/one/status", "https://box:443/agents/one"),
        ("http://[fd00::2]:8001", "http://[fd00::2]:8001"),
    ],
)
def test_it_reads_what_people_paste(pasted: str, means: str) -> None:
    assert parse_agent_url(pasted) == means


@pytest.mark.parametrize(
    "pasted",
    [
        "",
        "   ",
        "http://",
        "ftp://box",
        "http://bo x",
        "http://box:99999",
        "http://box:port",
        "http://[fd00",
        "http://ada:pw@box",
        "http://box/status?key=1",
        "http://" + "a" * 600,
    ],
)
def test_it_refuses_what_is_no_address_and_shows_one(pasted: str) -> None:
    with pytest.raises(AgentUrlError) as refused:
        parse_agent_url(pasted)
    assert refused.value.message.endswith(".")
