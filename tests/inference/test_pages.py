"""The fleet's page as each role gets it, and its forms that lock and unlock."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from accounts.models import User
from inference.models import EngineModel
from nodes import locks
from nodes.models import Node, NodeLock, NodeStatus
from tests.datasets.making import an_engine
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db

HOSTILE = '"><script>alert(1)</script>'
ADD_A_NODE = ".venv/bin/python manage.py node add NAME --llm http://HOST:11434"
LOCK_BUTTON, UNLOCK_BUTTON = "Lock this node…", ">Unlock<"


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def seen(user: User) -> str:
    """The page as this person sees it, what waits in templates for the script aside."""
    response = browser(user).get("/")
    assert response.status_code == 200
    return re.sub(r"(?s)<template.*?</template>", "", response.content.decode())


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


def test_a_stranger_is_led_to_the_login() -> None:
    response = Client().get("/")
    assert (response.status_code, response["Location"]) == (302, "/login/?next=/")


def test_someone_without_a_role_is_refused_in_words(people: dict[str, User]) -> None:
    people["vera"].groups.clear()
    response = browser(people["vera"]).get("/")
    assert response.status_code == 403
    assert "Ask an admin" in response.content.decode()


def test_a_key_reads_the_page(keys: dict[str, str]) -> None:
    response = Client(headers={"Authorization": f"Bearer {keys['vera']}"}).get("/")
    assert response.status_code == 200


def test_an_empty_fleet_says_what_to_do_to_who_can_do_it(people: dict[str, User]) -> None:
    page = seen(people["ada"])
    assert ADD_A_NODE in page
    assert "/admin/nodes/node/add/" in page
    assert "No job yet." in page


def test_an_empty_fleet_sends_the_others_to_an_admin(people: dict[str, User]) -> None:
    for name in ("otto", "vera"):
        page = seen(people[name])
        assert ADD_A_NODE not in page
        assert "Ask an admin to add a machine" in page


def test_a_node_without_an_engine_is_not_enough(people: dict[str, User]) -> None:
    Node.objects.create(name="bare")
    page = seen(people["ada"])
    assert "bare" in page
    assert 'data-unless="engines" >' in page
    an_engine("fast")
    assert 'data-unless="engines" hidden>' in seen(people["ada"])


def test_it_shows_a_node_with_its_state_load_slots_models_and_lock(people: dict[str, User]) -> None:
    engine = an_engine("fast", "http://10.0.0.1:11434", slots=4, models=["llama3:8b"])
    EngineModel.objects.create(engine=engine, name="on-disk:1b", is_resident=False)
    NodeStatus.objects.create(
        node=engine.node, state="degraded", reason="agent: it is silent", reading=json.dumps(STATUS)
    )
    locked(engine.node, people["otto"])
    page = seen(people["vera"])
    for text in ("fast", "degraded", "agent: it is silent", "http://10.0.0.1:11434", "llama3:8b"):
        assert text in page
    assert 'data-resident="yes"><span data-f="model">llama3:8b' in page
    assert 'data-resident="no"><span data-f="model">on-disk:1b' in page
    assert '<span data-f="busy">0</span> / <span data-f="slots">4</span>' in page
    assert "NVIDIA GeForce RTX 4090" in page
    assert "12 %" in page
    assert '<span data-f="lock-owner">otto</span>' in page
    assert "training" in page


def test_what_machines_say_is_text_and_never_markup(people: dict[str, User]) -> None:
    engine = an_engine(HOSTILE, models=[HOSTILE])
    NodeStatus.objects.create(node=engine.node, state="online", reason=HOSTILE)
    locks.lock_node(
        node_id=engine.node_id, by=locks.PERSON, owner=HOSTILE, reason=HOSTILE, ttl_s=60, actor="x"
    )
    page = seen(people["ada"])
    assert "<script>alert" not in page
    assert page.count("&quot;&gt;&lt;script&gt;alert(1)") >= 6


def test_a_viewer_gets_no_button_to_lock_or_unlock(people: dict[str, User]) -> None:
    locked(an_engine("fast").node, people["otto"])
    an_engine("slow")
    response = browser(people["vera"]).get("/").content.decode()
    assert LOCK_BUTTON not in response
    assert UNLOCK_BUTTON not in response


@pytest.mark.parametrize(("name", "may"), [("otto", True), ("stan", False), ("ada", True)])
def test_a_lock_is_taken_away_by_its_owner_and_by_admins(
    people: dict[str, User], name: str, may: bool
) -> None:
    locked(an_engine("fast").node, people["otto"])
    assert ('data-if="may-unlock" >' in seen(people[name])) is may


def test_a_lock_that_the_machine_itself_has_gets_no_button(people: dict[str, User]) -> None:
    node = an_engine("fast").node
    theirs = {"id": "l", "owner": "backup", "installation": None, "reason": "", "expires_at": None}
    NodeStatus.objects.create(node=node, foreign_lock=json.dumps(theirs | {"expires_ms": 2**41}))
    page = seen(people["ada"])
    assert "backup" in page
    assert 'data-if="lock-by-agent" >' in page
    assert 'data-if="may-unlock" hidden>' in page


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


def test_it_speaks_chinese_and_switches(people: dict[str, User]) -> None:
    client = browser(people["ada"])
    page = client.get("/", headers={"Accept-Language": "zh-CN"}).content.decode()
    assert '<html lang="zh-hans">' in page
    assert "还没有 LLM 引擎" in page
    response = client.post("/i18n/setlang/", {"language": "en", "next": "/"})
    assert response["Location"] == "/"
    assert "No LLM engine" in client.get("/", headers={"Accept-Language": "zh-CN"}).content.decode()
    translation.deactivate()


def test_it_runs_under_a_policy_without_inline_scripts_and_styles(people: dict[str, User]) -> None:
    an_engine("fast")
    response = browser(people["ada"]).get("/")
    page = response.content.decode()
    assert "unsafe" not in response["Content-Security-Policy"]
    assert " style=" not in page
    assert " onclick=" not in page
    assert [line for line in page.splitlines() if "<script" in line and "src=" not in line] == [
        line for line in page.splitlines() if 'type="application/json"' in line
    ]
