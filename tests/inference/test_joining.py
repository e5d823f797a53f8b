"""A machine that joins becomes a node: named, its agent asked where it can be reached, its engines used."""

from __future__ import annotations

import pytest
from django.conf import settings

from inference import agents_api, joining, reaching
from inference.llm_url import LlmUrlError
from inference.models import Engine
from inference.reaching import from_here, url_of
from inference.registration import node_add, node_remove
from nodes import news
from nodes.joining import token_create, token_revoke
from nodes.models import JoinToken, Node, NodeJoin, NodeStatus
from tests.inference.joining import MACHINE, ScriptedAgent, tick
from tests.machines import Said, agent, dead_url, engine, serving
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is kept out for what others did, and machines that answer are waited for."""
    monkeypatch.setattr(reaching, "REACH_S", 30.0)
    for rate in (agents_api._joins, agents_api._wrong, agents_api._pushes):
        rate.clear()


class TestToken:
    """Who is let in."""

    @pytest.mark.parametrize("code", ["used", "expired", "revoked", "unknown"])
    def test_each_token_that_lets_nobody_in_has_its_own_words(self, code: str) -> None:
        row, plain = token_create(created_by="ada")
        if code == "used":
            ScriptedAgent().join(token=plain)
        elif code == "expired":
            JoinToken.objects.update(expires_ms=1)
        elif code == "revoked":
            token_revoke(token_id=row.id)
        else:
            plain = "dpj_of-another-server"
        answer = ScriptedAgent(machine_id="another-machine").ask_in(plain)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, f"join_token_{code}")
        assert Node.objects.count() == (code == "used")

    def test_a_token_that_somebody_else_spends_meanwhile_makes_no_second_node(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, plain = token_create(created_by="ada")
        asked = reaching.reach

        def while_another_joins(*given: object) -> reaching.Reached:
            JoinToken.objects.filter(id=row.id).update(uses=1)
            return asked(*given)  # type: ignore[arg-type]  # what it was given

        monkeypatch.setattr(joining, "reach", while_another_joins)
        answer = ScriptedAgent().ask_in(plain)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "join_token_used")
        assert not Node.objects.exists()

    def test_a_token_is_not_spent_by_a_request_that_is_malformed(self) -> None:
        _, plain = token_create(created_by="ada")
        answer = ScriptedAgent().ask_in(plain, port="no")
        assert (answer.status_code, [*answer.json()["error"]["detail"]]) == (400, ["port"])
        ScriptedAgent().join(token=plain)

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"<html>", b"[" * 100_000, b'{"a": "' + b"x" * 70_000]
    )
    def test_what_is_no_json_object_is_refused(self, body: bytes) -> None:
        answer = ScriptedAgent().site.post("/api/v1/agents/join", body, content_type="application/json")
        assert answer.status_code == (413 if len(body) > 65_536 else 400)
        assert "message" in answer.json()["error"]

    def test_an_address_that_joins_too_often_has_to_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(settings, "DPL_JOINS_PER_MINUTE", 2)
        answers = [ScriptedAgent().ask_in("dpj_x") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert 1 <= int(answers[2]["Retry-After"]) <= 60


class TestName:
    """What it is called."""

    def test_as_its_host_and_the_next_one_with_a_number(self) -> None:
        names = [ScriptedAgent(machine_id=f"machine-{number}").join()["node"]["name"] for number in range(3)]
        assert names == ["box", "box-2", "box-3"]

    def test_as_it_wants_else_as_the_invitation_says(self) -> None:
        _, plain = token_create(created_by="ada", name="lab-1", environment="lab", uses=3)
        assert ScriptedAgent(machine_id="machine-1").join(token=plain, name="mine")["node"]["name"] == "mine"
        found = ScriptedAgent(machine_id="machine-2").join(token=plain)["node"]
        assert found["name"] == "lab-1"
        assert Node.objects.get(id=found["id"]).environment == "lab"
        assert ScriptedAgent(machine_id="machine-3").join(token=plain)["node"]["name"] == "lab-1-2"

    def test_a_name_that_is_as_long_as_can_be_gets_its_number_too(self) -> None:
        long = "x" * 100
        for number in range(2):
            ScriptedAgent(machine_id=f"machine-{number}").join(name=long)
        assert [len(name) <= 100 for name in Node.objects.values_list("name", flat=True)] == [True, True]


class TestMode:
    """Whether it is asked, or has to push."""

    def test_an_agent_that_answers_is_asked(self) -> None:
        with agent(token="its own for now") as box:
            body = ScriptedAgent(url=box.url).join()
        assert (body["mode"], body["reason"], body["interval_s"]) == ("pull", "", 2.0)
        node = Node.objects.get(id=body["node"]["id"])
        assert (node.monitor_base_url, node.agent_token, node.pushes) == (box.url, body["agent_token"], False)

    def test_the_next_tick_asks_it_with_its_new_token(self) -> None:
        with serving(lambda asked: Said(STATUS)) as box:
            body = ScriptedAgent(url=box.url).join()
            tick()
            assert box.asked[-1].headers["Authorization"] == f"Bearer {body['agent_token']}"
        assert NodeStatus.objects.get().state == "online"

    def test_one_that_cannot_be_reached_pushes(self) -> None:
        body = ScriptedAgent().join()
        assert body["mode"] == "push"
        assert "nothing listens at" in body["reason"]
        node = Node.objects.get()
        assert (node.monitor_base_url, node.pushes) == ("", True)
        tick()
        assert "it has not pushed yet" in NodeStatus.objects.get().reason

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (Said(STATUS | {"hostname": "other"}), "the agent of other, another machine"),
            (Said({"hello": 1}), "it is no agent"),
            (Said("<html>"), "it is no agent"),
            (Said({}, status=404), "status 404"),
            (Said({}, status=401), "status 401"),
            (Said("x" * 2_000_000), "is no agent"),
        ],
    )
    def test_something_else_at_its_address_is_not_it(self, answer: Said, reason: str) -> None:
        with serving(lambda asked: answer) as other:
            body = ScriptedAgent(url=other.url).join()
        assert body["mode"] == "push"
        assert reason in body["reason"]

    def test_an_address_that_may_not_be_called_is_not_called(self) -> None:
        scripted = ScriptedAgent()
        scripted.site = type(scripted.site)(REMOTE_ADDR="203.0.113.9")
        body = scripted.join(engines=[{"base_url": "http://127.0.0.1:11434", "kind": "ollama"}])
        assert body["mode"] == "push"
        assert "is a public address" in body["reason"]
        assert "is a public address" in body["engines"][0]["reason"]


class TestEngines:
    """What was found on the machine."""

    def test_one_that_answers_from_here_is_used(self) -> None:
        with engine(models=("llama3:8b",)) as url:
            local = url.replace("127.0.0.1", "localhost")
            body = ScriptedAgent().join(engines=[{"base_url": local, "kind": "ollama"}])
        assert body["engines"] == [{"base_url": url, "used": True, "reason": ""}]
        row = Engine.objects.select_related("status").get()
        assert (row.node_id, row.base_url, row.status.is_online) == (body["node"]["id"], url, True)

    def test_one_that_does_not_is_told_with_what_to_do_and_the_node_is_watched(self) -> None:
        body = ScriptedAgent().join(engines=[{"base_url": dead_url(), "kind": "ollama"}])
        (told,) = body["engines"]
        assert not told["used"]
        assert "OLLAMA_HOST=0.0.0.0" in told["reason"]
        assert not Engine.objects.exists()
        assert NodeJoin.objects.get().engines == body["engines"]

    def test_one_that_another_node_has_stays_there(self) -> None:
        with engine() as url:
            node_add(name="fast", llm_url=url)
            body = ScriptedAgent().join(engines=[{"base_url": url, "kind": "ollama"}])
        assert "fast has this engine already" in body["engines"][0]["reason"]
        assert Engine.objects.count() == 1

    def test_nonsense_is_told_and_the_machine_joins_nevertheless(self) -> None:
        body = ScriptedAgent().join(engines=[{"base_url": "ftp://x"}, {"base_url": "http://169.254.169.254"}])
        assert [one["used"] for one in body["engines"]] == [False, False]
        assert all(one["reason"] for one in body["engines"])

    @pytest.mark.parametrize(
        ("told", "address", "meant"),
        [
            ("http://127.0.0.1:11434", "10.0.0.5", "http://10.0.0.5:11434"),
            ("http://0.0.0.0:8080/v1", "10.0.0.5", "http://10.0.0.5:8080"),
            ("localhost", "10.0.0.5", "http://10.0.0.5:11434"),
            ("http://[::1]:1234", "fd00::5", "http://[fd00::5]:1234"),
            ("http://10.0.0.7:11434", "10.0.0.5", "http://10.0.0.7:11434"),
            ("http://127.0.0.1:11434", "::ffff:10.0.0.5", "http://10.0.0.5:11434"),
        ],
    )
    def test_the_machines_own_names_mean_the_address_that_it_called_from(
        self, told: str, address: str, meant: str
    ) -> None:
        assert from_here(told, address) == meant

    def test_an_address_with_a_zone_or_none_is_survived(self) -> None:
        assert url_of("fe80::1%eth0", 1) == "http://[fe80::1]:1"
        with pytest.raises(LlmUrlError):
            from_here("http://127.0.0.1:x", "10.0.0.5")


class TestAgain:
    """The same machine once more."""

    def test_it_takes_its_old_node_over_with_what_people_configured(self) -> None:
        scripted = ScriptedAgent()
        first = scripted.join(name="mine")
        Node.objects.update(environment="lab", labels={"rack": "a1"})
        again = scripted.join(name="other")
        assert again["node"] == first["node"]
        assert again["agent_token"] != first["agent_token"]
        node = Node.objects.get()
        assert (node.name, node.environment, node.labels) == ("mine", "lab", {"rack": "a1"})
        assert [join.is_again for join in NodeJoin.objects.all()] == [False, True]

    def test_its_old_token_is_over(self) -> None:
        old = ScriptedAgent()
        old.join()
        ScriptedAgent().join()
        answer = old.push()
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "agent_token_unknown")

    def test_its_engines_are_kept_and_new_ones_added(self) -> None:
        with engine() as one, engine() as two:
            ScriptedAgent().join(engines=[{"base_url": one}])
            Engine.objects.update(slots=4)
            ScriptedAgent().join(engines=[{"base_url": one}, {"base_url": two}])
        assert [*Engine.objects.order_by("id").values_list("base_url", "slots")] == [(one, 4), (two, 0)]

    def test_a_node_that_was_added_by_hand_with_this_agent_is_it(self) -> None:
        with serving(lambda asked: Said(STATUS)) as box:
            by_hand = node_add(name="fast", monitor_base_url=box.url, agent_token="t0ken")
            body = ScriptedAgent(url=box.url).join()
        assert body["node"] == {"id": by_hand.id, "name": "fast"}

    def test_a_reinstalled_machine_at_its_old_address_is_it_too(self) -> None:
        with serving(lambda asked: Said(STATUS)) as box:
            first = ScriptedAgent(url=box.url).join()
            tick()
            again = ScriptedAgent(url=box.url, machine_id="made-anew").join()
        assert again["node"] == first["node"]
        assert Node.objects.get().machine_id == "made-anew"

    def test_another_machine_at_its_old_address_is_another_node(self) -> None:
        hosts = ["box"]
        with serving(lambda asked: Said(STATUS | {"hostname": hosts[-1]})) as box:
            ScriptedAgent(url=box.url).join()
            tick()
            hosts.append("other")
            body = ScriptedAgent(url=box.url, machine_id="another-one", hostname="other").join()
        assert (body["node"]["name"], body["mode"]) == ("other", "push")
        assert "the node box has the agent" in body["reason"]

    def test_after_it_was_removed_it_is_a_new_node(self) -> None:
        first = ScriptedAgent().join()
        node_remove(node_id=first["node"]["id"], actor="ada")
        assert ScriptedAgent().join()["node"]["id"] != first["node"]["id"]


def test_watchers_hear_of_it_and_who_joined_is_noted() -> None:
    before = news.last_id()
    row, plain = token_create(created_by="ada")
    body = ScriptedAgent().join(token=plain)
    said = [(event.object_id, event.payload) for event in news.since(before)]
    assert (str(body["node"]["id"]), joining.JOINED_NEWS) in said
    note = NodeJoin.objects.get()
    assert (note.token, note.node_id, note.address, note.mode) == (
        row,
        body["node"]["id"],
        "127.0.0.1",
        "push",
    )
    assert Node.objects.get().machine_id == MACHINE
