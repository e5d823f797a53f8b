"""`/api/v1/join-tokens/`, the page and the command that invite: for admins, and the token is shown this once."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import User
from dpl_site.lib import agent_wheel
from nodes.joining import token_of
from nodes.models import JoinToken
from tests.inference.joining import ScriptedAgent

pytestmark = pytest.mark.django_db

PATH = "/api/v1/join-tokens/"
Api = Callable[[str], Client]


def made(client: Client, **asked: object) -> dict[str, object]:
    answer = client.post(PATH, asked, content_type="application/json")
    assert answer.status_code == 201, answer.json()
    body: dict[str, object] = answer.json()
    return body


def test_an_admin_gets_a_line_that_lets_a_machine_in(api: Api) -> None:
    body = made(api("ada"), name="lab-1", ttl_s=600, uses=2)
    token = str(body["token"])
    assert token_of(token).created_by == "ada"
    assert body["line"] == (
        f"python3 -m venv ~/dpl-agent && ~/dpl-agent/bin/pip install -q http://testserver/agent/{agent_wheel.name()} "
        f"&& ~/dpl-agent/bin/dpl-agent join http://testserver {token}"
    )
    assert set(body["lines"]) == {"linux", "macos", "windows"}  # type: ignore[call-overload]  # a dict
    assert (body["state"], body["uses"], body["most_uses"], body["joined"]) == ("waiting", 0, 2, [])


def test_afterwards_it_tells_who_joined_and_never_the_token(api: Api) -> None:
    body = made(api("ada"))
    node = ScriptedAgent().join(token=str(body["token"]))["node"]
    answer = api("ada").get(f"{PATH}{body['id']}/")
    told = answer.json()
    assert str(body["token"]) not in answer.content.decode()
    assert told["state"] == "used"
    (joined,) = told["joined"]
    assert (joined["node"], joined["mode"], joined["again"]) == (node, "push", False)
    assert "nothing listens" in joined["reason"]
    (listed,) = api("ada").get(PATH).json()["results"]
    assert listed == told


def test_it_is_revoked(api: Api) -> None:
    body = made(api("ada"))
    assert api("ada").delete(f"{PATH}{body['id']}/").status_code == 204
    assert ScriptedAgent().ask_in(str(body["token"])).json()["error"]["code"] == "join_token_revoked"
    assert api("ada").get(f"{PATH}{body['id']}").json()["state"] == "revoked"
    assert api("ada").delete(f"{PATH}{body['id']}/").status_code == 404
    assert api("ada").get(f"{PATH}999999/").status_code == 404


@pytest.mark.parametrize("name", ["otto", "vera"])
def test_others_invite_nobody(api: Api, name: str) -> None:
    assert api(name).get(PATH).status_code == 403
    assert api(name).post(PATH, {}, content_type="application/json").status_code == 403


@pytest.mark.parametrize("asked", [{"ttl_s": -1}, {"uses": 0}, {"uses": "many"}, {"name": "x" * 101}])
def test_nonsense_is_refused_by_field(api: Api, asked: dict[str, object]) -> None:
    answer = api("ada").post(PATH, asked, content_type="application/json")
    assert (answer.status_code, [*answer.json()["error"]["detail"]]) == (400, [*asked])


def test_the_line_names_the_address_that_is_set(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DPL_PUBLIC_URL", "http://10.0.0.1:8000")
    assert " join http://10.0.0.1:8000 dpj_" in str(made(api("ada"))["line"])


class TestPage:
    """The form, where no script helps."""

    def browser(self, user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    def test_the_fleets_page_offers_it_to_admins_only(self, people: dict[str, User]) -> None:
        assert 'id="invite"' in self.browser(people["ada"]).get("/").content.decode()
        assert 'id="invite"' not in self.browser(people["otto"]).get("/").content.decode()

    def test_it_makes_the_line_and_forbids_to_keep_it(self, people: dict[str, User]) -> None:
        answer = self.browser(people["ada"]).post("/nodes/invite", {"name": "<b>", "uses": "1"})
        assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
        assert JoinToken.objects.get().name == "<b>"
        assert "dpl-agent join http://testserver dpj_" in answer.content.decode()

    def test_what_is_wrong_is_said_on_it(self, people: dict[str, User]) -> None:
        answer = self.browser(people["ada"]).post("/nodes/invite", {"uses": "x"})
        assert answer.status_code == 400
        assert "for 1 to 100 machines" in answer.content.decode()
        assert not JoinToken.objects.exists()

    def test_an_address_of_this_machine_alone_is_warned_of(self, people: dict[str, User]) -> None:
        client = self.browser(people["ada"])
        warning = "an address that only this machine knows"
        assert warning in client.get("/nodes/invite", headers={"host": "127.0.0.1:8000"}).content.decode()
        assert warning not in client.get("/nodes/invite", headers={"host": "10.0.0.1:8000"}).content.decode()

    def test_operators_do_not_get_in(self, people: dict[str, User]) -> None:
        assert self.browser(people["otto"]).post("/nodes/invite").status_code == 403


class TestCommand:
    """`node invite`."""

    def run(self, *words: str) -> tuple[str, str]:
        out, err = StringIO(), StringIO()
        call_command("node", "invite", *words, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    def test_it_prints_the_line_alone(self) -> None:
        out, err = self.run(
            "--name", "lab-1", "--environment", "lab", "--ttl", "60", "--server", "http://10.0.0.1"
        )
        (line,) = out.splitlines()
        row = token_of(line.split()[-1])
        assert (row.name, row.environment) == ("lab-1", "lab")
        assert " join http://10.0.0.1 dpj_" in line
        assert "Good until" in err

    def test_without_an_address_it_names_this_machines(self) -> None:
        out, _ = self.run()
        assert f":{settings.DPL_PORT} dpj_" in out

    def test_what_is_wrong_is_said(self) -> None:
        with pytest.raises(CommandError, match="lasts from 1 second"):
            self.run("--ttl", "0")
