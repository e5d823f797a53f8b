"""The overview's page as each role gets it: which hosts it shows, in which order, and what of each."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.utils import translation

from accounts.models import User
from dpl_site.overview_page import PAGE_SIZE
from dpl_site.packed_files import PackedFiles, pack
from inference.models import EngineModel
from nodes import locks
from nodes.models import Node, NodeLock, NodeStatus
from tests.datasets.making import an_engine
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db

HOSTILE = '"><script>alert(1)</script>'
ADD_A_NODE = ".venv/bin/python manage.py node add NAME --llm http://HOST:11434"
LOCK_BUTTON, UNLOCK_BUTTON = "Lock this node…", ">Unlock<"
NO_GPU = "no NVIDIA driver: its library NVML was not found on this machine; no AMD GPU with the driver amdgpu"


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def seen(user: User, query: str = "", cookie: str = "") -> str:
    """The page as this person sees it, what waits in templates for the script aside."""
    client = browser(user)
    client.cookies["overview"] = cookie
    response = client.get(f"/{query}")
    assert response.status_code == 200
    return re.sub(r"(?s)<template.*?</template>", "", response.content.decode())


def hosts(page: str) -> list[str]:
    """The hosts on a page in their order."""
    return re.findall(r'<article class="host" data-key="\d+" aria-label="(.*?)"', page)


def groups(page: str) -> list[str]:
    return re.findall(r'data-group="(.*?)"', page)


def a_host(name: str, state: str = "online", cpu: float | None = None, **fields: object) -> Node:
    node = Node.objects.create(name=name, **fields)
    reading = json.dumps(STATUS | {"cpu": STATUS["cpu"] | {"percent": cpu}, "gpus": []})
    NodeStatus.objects.create(node=node, state=state, reading=reading)
    return node


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
    assert 'title="llama3:8b">llama3:8b</li>' in page
    assert "on-disk:1b" not in page
    assert '<span data-f="on-disk">1</span>' in page
    assert f'href="/nodes/{engine.node_id}/"' in page
    assert '<span data-f="busy">0</span> / <span data-f="slots">4</span>' in page
    assert "NVIDIA GeForce RTX 4090" in page
    assert "12 %" in page
    assert "300 W" in page
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
    page = seen(people[name])
    assert ('data-if="may-unlock" >' in page) is may
    assert ('<noscript><form method="post"' in page) is may


def test_a_lock_that_the_machine_itself_has_gets_no_button(people: dict[str, User]) -> None:
    node = an_engine("fast").node
    theirs = {"id": "l", "owner": "backup", "installation": None, "reason": "", "expires_at": None}
    NodeStatus.objects.create(node=node, foreign_lock=json.dumps(theirs | {"expires_ms": 2**41}))
    page = seen(people["ada"])
    assert "backup" in page
    assert 'data-if="lock-by-agent" >' in page
    assert 'data-if="may-unlock" hidden>' in page


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


def test_without_scripts_the_forms_lead_to_the_page_and_not_to_the_api(people: dict[str, User]) -> None:
    node, other = a_host("a"), a_host("b")
    locked(other, people["otto"])
    page = seen(people["otto"])
    assert f'<form method="post" action="/nodes/{node.id}/lock">' in page
    assert f'<form method="post" action="/nodes/{other.id}/unlock">' in page


def test_why_there_is_no_gpu_is_short_and_the_whole_is_there(people: dict[str, User]) -> None:
    node = Node.objects.create(name="cpu-only")
    reading = json.dumps(STATUS | {"gpus": [], "gpu_error": NO_GPU})
    NodeStatus.objects.create(node=node, state="online", reading=reading)
    page = seen(people["vera"])
    assert f'title="{NO_GPU}">No GPU found</summary>' in page
    broken = json.dumps(STATUS | {"gpus": [], "gpu_error": "NVML: the driver was updated, reboot"})
    NodeStatus.objects.filter(node=node).update(reading=broken)
    assert ">No GPU figures</summary>" in seen(people["vera"])


def test_hosts_are_found_by_each_word_of_what_they_are(people: dict[str, User]) -> None:
    a_host("box1", environment="lab", labels={"rack": "a"})
    a_host("box2", state="offline", labels={"rack": "b"})
    an_engine("box3", models=["llama3:8b"])
    for text, found in (("rack=a", ["box1"]), ("BOX offline", ["box2"]), ("llama3", ["box3"]), ("zzz", [])):
        assert hosts(seen(people["vera"], f"?q={text}")) == found
    assert 'data-if="nothing" >' in seen(people["vera"], "?q=nowhere")


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("", ["box2", "box10", "cold", "dead"]),
        ("?sort=nonsense&group=nonsense", ["box2", "box10", "cold", "dead"]),
        ("?sort=cpu", ["box10", "box2", "cold", "dead"]),
        ("?sort=state", ["dead", "cold", "box2", "box10"]),
    ],
)
def test_hosts_are_sorted_by_what_is_asked(people: dict[str, User], query: str, order: list[str]) -> None:
    a_host("box10", cpu=90.0)
    a_host("box2", cpu=20.0)
    a_host("cold", state="degraded", cpu=1.0)
    a_host("dead", state="offline")
    assert hosts(seen(people["vera"], query)) == order


def test_hosts_are_grouped_by_environment_or_label(people: dict[str, User]) -> None:
    a_host("a", environment="lab", labels={"rack": "r10"})
    a_host("b", environment="hall", labels={"rack": "r2"})
    a_host("c", environment="hall")
    assert groups(seen(people["vera"], "?group=environment")) == ["hall", "lab"]
    page = seen(people["vera"], "?group=label:rack")
    assert groups(page) == ["r2", "r10", ""]
    assert 'value="label:rack" selected' in page
    assert groups(seen(people["vera"])) == [""]


def test_a_choice_is_remembered_and_an_address_outdoes_it(people: dict[str, User]) -> None:
    a_host("a", cpu=1.0)
    a_host("b", cpu=2.0)
    cookie = "view=rows&sort=cpu&group="
    page = seen(people["vera"], cookie=cookie)
    assert 'data-view="rows"' in page
    assert hosts(page) == ["b", "a"]
    assert 'data-view="cards"' in seen(people["vera"], "?view=cards", cookie)
    assert hosts(seen(people["vera"], cookie="%%%;=")) == ["a", "b"]


def test_a_large_fleet_comes_in_pages_for_readers_without_scripts(people: dict[str, User]) -> None:
    for number in range(PAGE_SIZE + 1):
        a_host(f"box{number}")
    page = seen(people["vera"], "?sort=state")
    assert len(hosts(page)) == PAGE_SIZE
    assert "sort=state&amp;group=&amp;view=cards&amp;page=2" in page
    assert hosts(seen(people["vera"], "?sort=state&page=2")) == [f"box{PAGE_SIZE}"]
    assert f'data-f="nodes">{PAGE_SIZE + 1}<' in page


def test_the_sums_are_of_the_whole_fleet(people: dict[str, User]) -> None:
    a_host("box1")
    node = Node.objects.create(name="box2")
    NodeStatus.objects.create(node=node, state="offline", reading=json.dumps(STATUS))
    page = seen(people["vera"], "?q=nowhere")
    assert 'data-f="online">1<' in page
    assert 'data-f="gpus-busy">1</span> <small>/ <span data-f="gpus">1<' in page
    assert 'data-f="power">300 W<' in page


def test_it_travels_compressed(people: dict[str, User]) -> None:
    response = browser(people["vera"]).get("/", headers={"Accept-Encoding": "gzip"})
    assert response["Content-Encoding"] == "gzip"
    assert b"<h1>" in gzip.decompress(response.content)


def test_what_no_node_tells_can_be_asked_for_alone(people: dict[str, User]) -> None:
    found = browser(people["vera"]).get("/api/cluster/overview?only=activity").json()
    assert set(found) == {"requests_in_flight", "tokens_per_second", "jobs_running", "alerts_firing"}


def test_our_own_files_are_served_compressed() -> None:
    path = str(settings.BASE_DIR / "static/js/overview.js")
    files = PackedFiles(lambda request: HttpResponse())
    found = files.get_static_file(path, "/static/js/overview.js", {path: os.stat(path)})
    answer = found.get_response("GET", {"HTTP_ACCEPT_ENCODING": "gzip"})
    assert ("Content-Encoding", "gzip") in answer.headers
    with answer.file, Path(path).open("rb") as file:
        assert gzip.decompress(answer.file.read()) == file.read()
    plain = found.get_response("GET", {})
    plain.file.close()
    assert ("Content-Encoding", "gzip") not in plain.headers


def test_a_file_is_packed_anew_when_it_has_changed(tmp_path: Path) -> None:
    source, packed = tmp_path / "a.js", tmp_path / "packed" / "a.js.gz"
    for text in (b"one", b"two"):
        source.write_bytes(text)
        assert gzip.decompress(pack(source, packed).read_bytes()) == text
