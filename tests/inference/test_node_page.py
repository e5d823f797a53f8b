"""A node's page as each role gets it, and what the API tells for it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from inference.accounting import write_batch
from inference.models import Engine, EngineModel, EngineSpeed, EngineStatus
from inference.recorder import Batch, Load
from nodes import locks
from nodes.models import Node, NodeStatus
from tests.datasets.making import an_engine
from tests.inference.serving import a_record, attempt
from tests.nodes.told import STATUS

pytestmark = pytest.mark.django_db
Api = Callable[[str], Client]

HOSTILE = '"><script>alert(1)</script>'


def told(node: Node, *, is_past: bool = False, skew_s: float = 0.0, **more: Any) -> NodeStatus:
    """What the node's agent told, just now or before it fell silent."""
    return NodeStatus.objects.create(
        node=node,
        state="online",
        reading=json.dumps(STATUS | more),
        sampled_at=timezone.now(),
        agent_error="it is silent" if is_past else "",
        clock_skew_s=skew_s,
    )


def page(user: User, node: Node, query: str = "", **headers: str) -> str:
    """The page as this person sees it, what waits in templates for the script aside."""
    client = Client()
    client.force_login(user)
    response = client.get(f"/nodes/{node.id}/{query}", headers=headers)
    assert response.status_code == 200
    return re.sub(r"(?s)<template.*?</template>", "", response.content.decode())


def details(api: Api, node: Node) -> Any:
    return api("vera").get(f"/api/v1/nodes/{node.id}/details/").json()


@pytest.fixture
def box(people: dict[str, User]) -> Node:
    """A machine with a GPU, an engine, a measured model, and an agent that tells of now."""
    engine = an_engine("box", "http://10.0.0.1:11434", slots=4, models=["llama3:8b"])
    EngineModel.objects.create(engine=engine, name="on-disk:1b", is_resident=False, size_bytes=2**30)
    EngineSpeed.objects.create(
        engine=engine, model="llama3:8b", tokens_per_second=51.25, seconds_per_request=2.5, samples=9
    )
    told(engine.node)
    return engine.node


@pytest.mark.parametrize("path", ["/nodes/99/", "/nodes/99999999999999999999/"])
def test_there_is_no_page_for_what_is_not_there(people: dict[str, User], path: str) -> None:
    client = Client()
    client.force_login(people["ada"])
    assert client.get(path).status_code == 404


def test_a_node_that_was_removed_has_no_page(people: dict[str, User], box: Node) -> None:
    Node.objects.update(archived_at=timezone.now())
    client = Client()
    client.force_login(people["ada"])
    assert client.get(f"/nodes/{box.id}/").status_code == 404


def test_a_stranger_is_led_to_the_login_and_back(box: Node) -> None:
    assert (
        Client().get(f"/nodes/{box.id}/?range=5m")["Location"]
        == f"/login/?next=/nodes/{box.id}/%3Frange%3D5m"
    )


def test_it_shows_the_machine_its_gpus_and_what_runs_on_them(people: dict[str, User], box: Node) -> None:
    seen = page(people["vera"], box)
    for text in ("NVIDIA GeForce RTX 4090", "55 %", "61 °C", "power_cap", "python train.py", "1h 00m"):
        assert text in seen, text
    assert '<span data-f="logical">8</span> / <span data-f="physical">4</span>' in seen
    assert '<dd data-f="cpu-heat">–</dd>' in seen, "what is unknown is a dash"
    assert 'data-f="d-mount">/<' in seen


def test_it_says_why_there_are_no_gpu_figures(people: dict[str, User]) -> None:
    node = an_engine("cpu-only").node
    told(node, gpus=[], gpu_error="no NVIDIA driver")
    assert 'There are no GPU figures: <span data-f="gpu-error">no NVIDIA driver</span>' in page(
        people["vera"], node
    )


def test_it_shows_the_speed_of_each_model_and_where_a_request_would_go(
    people: dict[str, User], box: Node
) -> None:
    seen = page(people["vera"], box)
    assert '<span data-f="m-speed">51.2</span>' in seen
    assert 'Here: done in about <span data-f="m-finish">2.5s</span>.' in seen
    assert '<span class="state" data-is="online" data-if="e-in" >in rotation</span>' in seen


def test_a_locked_node_is_out_of_rotation_and_says_who_has_it(people: dict[str, User], box: Node) -> None:
    locks.lock_node(node_id=box.id, by=locks.PERSON, owner="otto", reason="training", ttl_s=600, actor="otto")
    seen = page(people["vera"], box)
    assert 'data-if="e-out" >not in rotation' in seen
    assert "The node is locked." in seen
    assert "training" in seen


def test_a_viewer_sees_no_button(people: dict[str, User], box: Node) -> None:
    seen = page(people["vera"], box)
    main = seen[seen.index("<main") : seen.index("</main>")]
    assert "<form" not in main
    assert "/admin/" not in main
    assert "Warm up" not in main


def test_an_operator_may_lock_and_load_but_is_not_sent_to_the_admin(
    people: dict[str, User], box: Node
) -> None:
    seen = page(people["otto"], box)
    for action in ("lock", "unlock", "load", "unload"):
        assert f'action="/nodes/{box.id}/{action}"' in seen, action
    assert "/admin/" not in seen


def test_an_admin_is_led_to_where_the_node_is_edited_and_removed(people: dict[str, User], box: Node) -> None:
    seen = page(people["ada"], box)
    assert f"/admin/nodes/node/{box.id}/change/" in seen
    assert f"/admin/nodes/node/{box.id}/delete/" in seen


def test_only_what_is_on_disk_is_warmed_up_and_only_what_is_resident_unloaded(
    people: dict[str, User], box: Node
) -> None:
    seen = page(people["otto"], box)
    resident, on_disk = (seen[seen.index(f'data-key="{name}"') :] for name in ("llama3:8b", "on-disk:1b"))
    assert 'data-if="m-may-load" hidden' in resident[: resident.index("</tr>")]
    assert 'data-if="m-may-unload" hidden' in on_disk[: on_disk.index("</tr>")]


def test_an_engine_that_keeps_its_model_offers_no_unloading(people: dict[str, User]) -> None:
    node = an_engine("vllm", kind="openai").node
    assert 'data-if="m-may-unload" hidden' in page(people["otto"], node)


def test_what_machines_say_is_text_and_never_markup(people: dict[str, User]) -> None:
    engine = an_engine(HOSTILE, models=[HOSTILE])
    process = STATUS["gpus"][0]["processes"][0] | dict.fromkeys(
        ("name", "user", "container", "command"), HOSTILE
    )
    gpu = STATUS["gpus"][0] | {"name": HOSTILE, "health": HOSTILE, "processes": [process]}
    disk = {"mount": HOSTILE, "total_bytes": 1, "used_bytes": 1, "percent": 1.0}
    told(engine.node, hostname=HOSTILE, os=HOSTILE, agent_version=HOSTILE, gpus=[gpu], filesystems=[disk])
    seen = page(people["ada"], engine.node)
    assert "<script>alert" not in seen
    assert seen.count("&lt;script&gt;alert(1)") >= 12


def test_a_clock_that_is_off_and_an_old_agent_are_pointed_out(people: dict[str, User]) -> None:
    node = an_engine("late").node
    told(node, skew_s=-42.0, agent_version="0.0.9")
    seen = page(people["vera"], node)
    assert 'data-if="skew" >' in seen
    assert 'data-if="outdated" >' in seen
    assert "-42.0" in seen


def test_a_clock_that_is_right_and_a_current_agent_are_not(people: dict[str, User], box: Node) -> None:
    seen = page(people["vera"], box)
    assert 'data-if="skew" hidden>' in seen
    assert 'data-if="outdated" hidden>' in seen
    assert 'data-if="past" hidden>' in seen


def test_what_a_silent_agent_told_before_is_shown_as_the_past(people: dict[str, User]) -> None:
    node = an_engine("silent").node
    told(node, is_past=True)
    seen = page(people["vera"], node)
    assert 'data-if="past" >' in seen
    assert "NVIDIA GeForce RTX 4090" in seen
    assert '<dd data-f="cpu">–</dd>' in seen, "its load is not known now"


def test_a_machine_without_an_agent_says_the_next_step_to_who_can_take_it(people: dict[str, User]) -> None:
    node = an_engine("bare").node
    assert "/nodes/invite" in page(people["ada"], node)
    seen = page(people["vera"], node)
    assert "No agent ever told of this machine" in seen
    assert "/nodes/invite" not in seen


@pytest.mark.parametrize(
    ("query", "chosen"), [("?range=5m", "5m"), ("?range=30d", "30d"), ("?range=x", "1h"), ("", "1h")]
)
def test_a_link_says_how_far_back_the_curves_go(
    people: dict[str, User], box: Node, query: str, chosen: str
) -> None:
    seen = page(people["vera"], box, query)
    assert f'data-range="{chosen}"' in seen
    assert seen.count('data-range-choice="') == 7


def logged(people: dict[str, User], node: Node) -> None:
    """A good request of otto, and one of vera that failed at its engine."""
    went = attempt(node_id=node.id, reasons=("done in about 2.5 s",), rejected=(("dead", "offline"),))
    records = (
        a_record(user_id=people["otto"].pk, attempts=(went,)),
        a_record(user_id=people["vera"].pk, attempts=(went,), outcome="timeout", status=504),
    )
    write_batch(batch=Batch(uuid.uuid4(), None, 1, records, Load()))


def test_an_admin_sees_all_requests_with_their_decision(people: dict[str, User], box: Node) -> None:
    logged(people, box)
    seen = page(people["ada"], box)
    for text in ("otto", "vera", "timeout", "done in about 2.5 s", "dead: offline"):
        assert text in seen, text
    failed = page(people["ada"], box, "?requests=failed")
    assert 'data-is="failed">timeout' in failed
    assert 'data-f="r-user">otto' not in failed


def test_others_see_their_own_requests_only(people: dict[str, User], box: Node) -> None:
    logged(people, box)
    seen = page(people["otto"], box)
    assert "done in about 2.5 s" in seen
    assert "timeout" not in seen


def test_the_log_gives_failed_requests_and_others(people: dict[str, User], box: Node, api: Api) -> None:
    logged(people, box)
    for query, outcomes in (("true", ["timeout"]), ("false", ["ok"]), ("true,false", ["timeout", "ok"])):
        found = api("ada").get(f"/api/v1/requests/?node={box.id}&failed={query}").json()["results"]
        assert [one["outcome"] for one in found] == outcomes, query
    assert api("ada").get("/api/v1/requests/?failed=perhaps").status_code == 400


def test_the_api_tells_the_machine_and_how_its_engines_stand(box: Node, api: Api) -> None:
    found = details(api, box)
    machine, (engine,) = found["machine"], found["engines"]
    assert (machine["current"], machine["agent_outdated"], machine["cpu"]["logical_cores"]) == (
        True,
        False,
        8,
    )
    assert machine["gpus"][0]["processes"][0]["command"] == "python train.py"
    assert (engine["obstacle"], engine["slots"], engine["waiting"]) == (None, {"total": 4, "busy": 0}, 0)
    resident, on_disk = engine["models"]
    assert (resident["tokens_per_second"], resident["requests_measured"]) == (51.25, 9)
    assert resident["decision"]["place"] == 1
    assert (on_disk["name"], on_disk["resident"], on_disk["tokens_per_second"]) == ("on-disk:1b", False, None)


def test_the_api_tells_why_an_engine_is_passed_over(people: dict[str, User], api: Api) -> None:
    off, broken = an_engine("off"), an_engine("broken")
    Engine.objects.filter(pk=off.pk).update(is_enabled=False)
    EngineStatus.objects.filter(pk=broken.pk).update(
        breaker_open_ms=1_700_000_000_000, breaker_reason="refused"
    )
    fresh = Engine.objects.create(node=broken.node, base_url="http://10.0.0.9")
    assert details(api, off.node)["engines"][0]["obstacle"] == {"code": "disabled", "detail": ""}
    first, second = details(api, broken.node)["engines"]
    assert first["obstacle"] == {"code": "breaker", "detail": "refused"}
    assert first["breaker_open_since"] == "2023-11-14T22:13:20.000Z"
    assert (second["id"], second["obstacle"]["code"]) == (fresh.pk, "not_asked")


def test_a_node_that_nobody_asked_yet_has_no_machine(people: dict[str, User], api: Api) -> None:
    node = Node.objects.create(name="new")
    assert details(api, node)["machine"] is None
    assert "It has no engine" in page(people["vera"], node)
    assert api("vera").get("/api/v1/nodes/99/details/").status_code == 404


def test_it_speaks_chinese(people: dict[str, User], box: Node) -> None:
    seen = page(people["vera"], box, **{"Accept-Language": "zh-CN"})
    assert "引擎与调度器的判断" in seen
    assert "可调度" in seen


def test_it_runs_under_a_policy_without_inline_scripts_and_styles(people: dict[str, User], box: Node) -> None:
    seen = page(people["ada"], box)
    assert " style=" not in seen
    assert " onclick=" not in seen
    inline = [tag for tag in re.findall(r"<script[^>]*>", seen) if "src=" not in tag]
    assert all('type="application/json"' in tag for tag in inline)
