"""Under which key each node stands."""

from __future__ import annotations

import pytest

from inference.flowline.places import Place, harmless, keys_of, place_of


def keys(*places: Place) -> list[str]:
    found = keys_of(places)
    return [found[place.node_id] for place in places]


@pytest.mark.parametrize(
    ("urls", "ip", "port"),
    [
        (["http://10.0.0.5:8001"], "10.0.0.5", 8001),
        (["http://[fd00::5]:8001"], "fd00::5", 8001),
        (["https://10.0.0.5"], "10.0.0.5", 443),
        (["http://box.local:8001"], "", 8001),
        (["http://box.local:8001", "http://10.0.0.5:11434"], "10.0.0.5", 11434),
        (["", "http://10.0.0.5:11434"], "10.0.0.5", 11434),
        ([""], "", 0),
        (["http://[broken"], "", 0),
    ],
)
def test_a_node_is_where_its_agent_or_else_its_engine_is(urls: list[str], ip: str, port: int) -> None:
    assert place_of(1, "box", urls) == Place(1, "box", ip, port)


def test_a_node_stands_under_its_ip_address() -> None:
    assert keys(Place(1, "a", "10.0.0.5", 8001), Place(2, "b", "fd00::5", 8001)) == ["10.0.0.5", "fd00::5"]


def test_nodes_that_share_an_address_are_both_there_with_their_ports() -> None:
    found = keys(
        Place(1, "a", "10.0.0.5", 1),
        Place(2, "b", "10.0.0.5", 2),
        Place(3, "c", "fd00::5", 1),
        Place(4, "d", "fd00::5", 2),
    )
    assert found == ["10.0.0.5:1", "10.0.0.5:2", "[fd00::5]:1", "[fd00::5]:2"]


def test_nodes_without_an_address_or_with_the_very_same_stand_under_their_names() -> None:
    found = keys(Place(1, "a", "", 0), Place(2, "b", "10.0.0.5", 1), Place(3, "c", "10.0.0.5", 1))
    assert found == ["a", "b", "c"]


def test_no_key_is_given_twice_whatever_nodes_are_called() -> None:
    found = keys(
        Place(1, "x", "10.0.0.5", 1),
        Place(2, "10.0.0.5", "", 0),
        Place(3, "<b", "", 0),
        Place(4, "‹b", "", 0),
    )
    assert found == ["10.0.0.5", "10.0.0.5#2", "‹b#3", "‹b#4"]


def test_what_html_reads_as_more_than_text_becomes_a_look_alike() -> None:
    assert harmless("""<img src=x onerror="a('b')">&`\\""") == "‹img src=x onerror=”a(’b’)”›＆ˋ＼"


@pytest.mark.parametrize(
    "normal", ["gpu-server-1", "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "机房-3", "fd00::5"]
)
def test_normal_names_stay_as_they_are(normal: str) -> None:
    assert harmless(normal) == normal
