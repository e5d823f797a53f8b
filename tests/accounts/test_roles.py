"""Which role has which scope."""

from __future__ import annotations

import pytest

from accounts import roles


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        ("viewer", {"read"}),
        ("operator", {"read", "chat", "datasets"}),
        ("admin", {"read", "chat", "datasets", "admin"}),
        ("", set()),
        ("janitor", set()),
    ],
)
def test_a_role_allows_what_the_contract_says(role: str, scopes: set[str]) -> None:
    assert roles.scopes_of(role) == scopes


def test_each_role_allows_all_that_the_weaker_ones_allow() -> None:
    for weaker, stronger in zip(roles.ROLES, roles.ROLES[1:], strict=False):
        assert roles.scopes_of(weaker) < roles.scopes_of(stronger)


def test_the_strongest_of_several_groups_counts() -> None:
    assert roles.strongest(["viewer", "admin", "operator"]) == "admin"
    assert roles.strongest(["football", "viewer"]) == "viewer"
    assert roles.strongest([]) == roles.NO_ROLE


def test_scopes_are_told_in_one_order() -> None:
    assert roles.in_order({"admin", "read", "nonsense"}) == ["read", "admin"]
