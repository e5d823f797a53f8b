"""Which node an agent speaks for: by its token alone, and never again after the node was removed."""

from __future__ import annotations

import pytest
from django.utils import timezone

from dpl_site.lib import secrets as boxed
from nodes.agent_keys import AgentRefused, new_token, node_of_agent, token_hash
from nodes.models import Node

pytestmark = pytest.mark.django_db


def node(name: str, token: str) -> Node:
    return Node.objects.create(name=name, agent_token=token, agent_token_hash=token_hash(token))


def code(token: str) -> str:
    with pytest.raises(AgentRefused) as refused:
        node_of_agent(f"Bearer {token}")
    assert refused.value.status == 401
    return refused.value.code


def test_a_token_finds_its_node() -> None:
    token = new_token()
    fast = node("fast", token)
    node("slow", new_token())
    assert node_of_agent(f"Bearer {token}") == fast
    assert token not in fast.agent_token_hash


def test_a_token_of_a_removed_node_never_works_again() -> None:
    token = new_token()
    fast = node("fast", token)
    Node.objects.filter(id=fast.id).update(archived_at=timezone.now())
    assert code(token) == "node_removed"


def test_what_is_unknown_missing_short_or_shared_is_told_apart() -> None:
    assert code(new_token()) == "agent_token_unknown"
    assert code("") == code("secret") == "agent_token_missing"
    for name in ("fast", "slow"):
        node(name, "one for all of them")
    assert code("one for all of them") == "agent_token_shared"


def test_a_short_token_of_peoples_own_opens_nothing() -> None:
    assert token_hash("secret") == ""
    assert not node("fast", "secret").pushes


def test_the_secret_decides_when_the_hash_is_of_another_time() -> None:
    old = new_token()
    fast = node("fast", old)
    fast.agent_token = new_token()
    fast.save(update_fields=["agent_token"])
    assert code(old) == "agent_token_unknown"


def test_an_older_key_still_finds_it(
    tmp_path: object, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = new_token()
    first, second = b"k" * 44, b"l" * 44
    monkeypatch.setattr(boxed, "_keys", lambda path: (first,))
    kept = token_hash(token)
    monkeypatch.setattr(boxed, "_keys", lambda path: (second, first))
    assert kept in boxed.fingerprints(token)
    assert token_hash(token) != kept
