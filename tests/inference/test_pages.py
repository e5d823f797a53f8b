"""The forms that lock and unlock a node."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from nodes import locks
from nodes.models import Node, NodeLock
from tests.datasets.making import an_engine

pytestmark = pytest.mark.django_db


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def locked(node: Node, owner: User) -> NodeLock:
    return locks.lock_node(
        node_id=node.id,
        by=locks.PERSON,
        owner=owner.username,
        user_id=owner.pk,
        reason="training",
        ttl_s=600,
        actor=owner.username,
    )


def told(response: Any) -> str:
    """The message on the page that a form leads to."""
    assert (response.status_code, response["Location"]) == (302, "/")
    return " ".join(str(message) for message in response.wsgi_request._messages)


def test_an_operator_locks_a_node_with_reason_and_time(people: dict[str, User]) -> None:
    node = an_engine("fast").node
    form = {"reason": "my box", "minutes": "240"}
    response = browser(people["otto"]).post(f"/nodes/{node.id}/lock", form)
    assert told(response) == "The node is locked."
    lock = NodeLock.objects.get(node=node)
    assert (lock.owner, lock.reason, lock.user_id) == ("otto", "my box", people["otto"].pk)


@pytest.mark.parametrize("form", [{"minutes": "7"}, {"minutes": "x"}, {"minutes": "60", "reason": "x" * 301}])
def test_a_lock_form_that_makes_no_sense_locks_nothing(people: dict[str, User], form: dict[str, str]) -> None:
    node = an_engine("fast").node
    assert told(browser(people["otto"]).post(f"/nodes/{node.id}/lock", form)) != "The node is locked."
    assert not NodeLock.objects.exists()


def test_a_lock_that_stands_is_told(people: dict[str, User]) -> None:
    node = an_engine("fast").node
    locked(node, people["otto"])
    told_to_stan = told(browser(people["stan"]).post(f"/nodes/{node.id}/lock", {"minutes": "60"}))
    assert "locked by otto" in told_to_stan
    assert "not yours" in told(browser(people["stan"]).post(f"/nodes/{node.id}/unlock"))
    assert NodeLock.objects.filter(owner="otto").exists()


def test_the_owner_unlocks_and_so_does_an_admin(people: dict[str, User]) -> None:
    node = an_engine("fast").node
    for name in ("otto", "ada"):
        locked(node, people["otto"])
        assert told(browser(people[name]).post(f"/nodes/{node.id}/unlock")) == "The node is free."
        assert not NodeLock.objects.exists()


def test_a_node_that_is_gone_is_told(people: dict[str, User]) -> None:
    assert "no node 99" in told(browser(people["ada"]).post("/nodes/99/lock", {"minutes": "60"}))


@pytest.mark.parametrize("action", ["lock", "unlock"])
def test_a_viewer_can_neither_lock_nor_unlock(people: dict[str, User], action: str) -> None:
    node = an_engine("fast").node
    assert browser(people["vera"]).post(f"/nodes/{node.id}/{action}").status_code == 403
    assert not NodeLock.objects.exists()


def test_a_form_from_elsewhere_is_refused(people: dict[str, User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["ada"])
    response = client.post(f"/nodes/{an_engine('fast').node_id}/lock", {"minutes": "60"})
    assert response.status_code == 403
    assert not NodeLock.objects.exists()


def test_a_login_in_between_leads_back_to_the_page(people: dict[str, User]) -> None:
    assert browser(people["otto"]).get("/nodes/1/lock")["Location"] == "/"
