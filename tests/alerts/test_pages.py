"""The pages of alerts as each role gets them, and their forms."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from accounts.models import User
from alerts import metrics, validation, words
from alerts.models import Alert, Channel, ChannelStatus, Delivery, Rule, Silence
from alerts.states import ChannelKind
from dpl_site.lib.messenger import Outcome
from nodes.models import Node
from tests.alerts.test_admin import fields
from tests.alerts.world import World

PAGES = ("", "history/", "rules/", "silences/", "channels/")
HOSTILE = '"><script>alert(1)</script>'
ADDRESS = "json://127.0.0.1/top-secret"


@pytest.fixture
def browser(people: dict[str, User]) -> Callable[[str], Client]:
    """A client that this person is logged in at."""

    def made(name: str) -> Client:
        client = Client()
        client.force_login(people[name], backend="django.contrib.auth.backends.ModelBackend")
        return client

    return made


Browser = Callable[[str], Client]


@pytest.fixture
def hot(world: World) -> Alert:
    """An alert that fires on a node with a hostile name."""
    box = world.node(HOSTILE)
    world.rule(name="Hot", for_s=0, keep_s=0, severity="critical")
    world.heat(box, 95)
    world.run(2)
    return Alert.objects.get()


def seen(client: Client, path: str = "") -> str:
    """A page, what waits in templates for scripts aside."""
    response = client.get(f"/alerts/{path}")
    assert response.status_code == 200
    return re.sub(r"(?s)<template.*?</template>", "", response.content.decode())


def told(response: Any) -> str:
    """The message on the page that a form leads to."""
    assert response.status_code == 302, response.content.decode()[:3000]
    return " ".join(str(message) for message in response.wsgi_request._messages)


def scopes(**places: object) -> dict[str, object]:
    """The part of a rule's form that says where it looks."""
    return {
        "scopes-TOTAL_FORMS": "1",
        "scopes-INITIAL_FORMS": "0",
        **{f"scopes-0-{name}": value for name, value in places.items()},
    }


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("name", ["vera", "otto", "ada"])
def test_everybody_reads_and_only_admins_get_forms(
    hot: Alert, browser: Browser, path: str, name: str
) -> None:
    page = seen(browser(name), path)
    main = page[page.index("<main") : page.index("</main>")]
    assert HOSTILE not in page
    assert ('method="post"' in main) is (name == "ada" and path != "history/")


def test_the_script_of_an_alerts_page_gets_its_parts_alone(hot: Alert, browser: Browser) -> None:
    answer = browser("vera").get(f"/alerts/history/{hot.pk}/", headers={"X-Part": "alert"})
    part = answer.content.decode()
    assert not [markup for markup in ("<html", "<form", HOSTILE) if markup in part]
    assert "firing" in part
    assert 'data-part="life"' in part
    assert "X-Part" in answer["Vary"]
    of_ada = browser("ada").get(f"/alerts/history/{hot.pk}/", headers={"X-Part": "alert"})
    assert "<form" in of_ada.content.decode()


def test_what_fires_is_shown_with_its_value_and_threshold_and_the_bell_counts_it(
    hot: Alert, browser: Browser
) -> None:
    page = seen(browser("vera"))
    assert "95 °C" in page
    assert "90 °C" in page
    assert 'aria-label="Alerts firing: 1"' in page
    assert 'data-worst="critical"' in page


def test_the_worst_stands_first(world: World, browser: Browser) -> None:
    box = world.node("box")
    for name, severity, for_s in (("Pending", "critical", 60), ("Mild", "info", 0), ("Bad", "critical", 0)):
        world.rule(name=name, severity=severity, for_s=for_s)
    world.heat(box, 95)
    world.run(2)
    page = seen(browser("vera"))
    assert page.index("Bad</a>") < page.index("Mild</a>") < page.index("Pending</a>")


def test_an_empty_page_says_the_next_step(world: World, browser: Browser) -> None:
    page = seen(browser("ada"))
    assert "Nothing is wrong" in page
    assert "Add a channel" in page
    assert "Ask an admin" in seen(browser("vera"))


def test_an_admin_acknowledges_with_a_note_and_takes_it_back(hot: Alert, browser: Browser) -> None:
    path = f"/alerts/history/{hot.pk}/acknowledge"
    assert browser("otto").post(path).status_code == 403
    response = browser("ada").post(path, {"note": HOSTILE, "next": "/alerts/"})
    assert (told(response), response["Location"]) == ("Acknowledged: no more reminders.", "/alerts/")
    event = hot.events.get(action="acknowledged")
    assert (event.actor, event.reason) == ("ada", HOSTILE)
    page = seen(browser("vera"), f"history/{hot.pk}/")
    assert HOSTILE not in page
    assert "alert(1)" in page
    browser("ada").post(path, {"undo": "yes"})
    hot.refresh_from_db()
    assert hot.acknowledged_by == ""


def test_a_form_leads_to_no_other_site(hot: Alert, browser: Browser) -> None:
    for next_page in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        response = browser("ada").post(f"/alerts/history/{hot.pk}/acknowledge", {"next": next_page})
        assert response["Location"] == "/alerts/"


def test_an_alert_that_has_ended_says_so_instead(hot: Alert, world: World, browser: Browser) -> None:
    world.heat(Node.objects.get(), 50)
    world.run(2)
    assert "has ended" in told(browser("ada").post(f"/alerts/history/{hot.pk}/acknowledge"))


@pytest.mark.parametrize(
    ("what", "has_rule", "has_node"), [("both", True, True), ("node", False, True), ("rule", True, False)]
)
def test_an_alert_is_silenced_from_its_card(
    hot: Alert, browser: Browser, what: str, has_rule: bool, has_node: bool
) -> None:
    path = f"/alerts/history/{hot.pk}/silence"
    sent = {"what": what, "minutes": "60", "comment": "known"}
    assert browser("otto").post(path, sent).status_code == 403
    assert "Silent from now on" in told(browser("ada").post(path, sent))
    silence = Silence.objects.get()
    assert ((silence.rule == hot.rule), (silence.node == hot.node)) == (has_rule, has_node)
    assert (silence.author, silence.comment) == ("ada", "known")
    assert timedelta(minutes=59) < silence.ends_at - timezone.now() < timedelta(minutes=61)


def test_history_is_filtered(hot: Alert, world: World, browser: Browser) -> None:
    other = world.node("other")
    world.rule("cpu_percent", name="Busy", for_s=0)
    world.reads(other, cpu={"percent": 99})
    world.run(2)
    day = timezone.now().strftime("%Y-%m-%d")
    for query, found in (
        ("", {"Hot", "Busy"}),
        (f"?node={other.pk}", {"Busy"}),
        (f"?rule={hot.rule_id}", {"Hot"}),
        ("?severity=critical", {"Hot"}),
        ("?state=resolved", set()),
        (f"?since={day}", set()),  # the world's clock stands in 2023
        ("?until=2023-11-15", {"Hot", "Busy"}),
        ("?since=nonsense&rule=x", {"Hot", "Busy"}),
    ):
        rows = re.findall(r">(Hot|Busy)</a>", seen(browser("vera"), f"history/{query}"))
        assert set(rows) == found, query


def test_a_life_is_drawn_in_its_states(world: World, browser: Browser) -> None:
    box = world.node("box")
    world.rule(for_s=10, keep_s=10)
    for celsius, seconds in ((95, 40), (50, 20)):
        world.heat(box, celsius)
        world.run(seconds)
    page = seen(browser("vera"), "history/")
    assert re.findall(r'<rect class="(\w+)"', page) == ["pending", "firing", "recovering"]
    assert 'aria-label="pending 10s, firing 30s, recovering 10s"' in page


def test_a_rule_is_made_changed_switched_and_removed(world: World, browser: Browser) -> None:
    ada = browser("ada")
    sent = fields(Rule(name="Mine", metric="cpu_percent", fire_value=90, clear_value=80)) | scopes(
        environment="lab"
    )
    assert browser("otto").post("/alerts/rules/new/", sent).status_code == 403
    told(ada.post("/alerts/rules/new/", sent))
    rule = Rule.objects.get()
    assert [scope.environment for scope in rule.scopes.all()] == ["lab"]
    told(ada.post(f"/alerts/rules/{rule.pk}/", sent | {"clear_value": "", "scopes-0-environment": ""}))
    rule.refresh_from_db()
    assert rule.clear_value == 90
    assert not rule.scopes.exists()
    assert browser("vera").post(f"/alerts/rules/{rule.pk}/", sent)["Location"] == "/alerts/rules/"
    told(ada.post(f"/alerts/rules/{rule.pk}/switch", {"on": "no"}))
    rule.refresh_from_db()
    assert (rule.is_enabled, rule.clear_value) == (False, 90)
    told(ada.post(f"/alerts/rules/{rule.pk}/remove"))
    assert not Rule.objects.exists()


def test_a_rule_that_cannot_work_is_told_at_its_field_in_the_readers_language(
    world: World, browser: Browser
) -> None:
    sent = fields(Rule(name="Mine", metric="cpu_percent", fire_value=90, clear_value=95)) | scopes()
    response = browser("ada").post("/alerts/rules/new/", sent, headers={"Accept-Language": "zh-CN"})
    assert response.status_code == 400
    assert "恢复值不能高于触发值 90" in response.content.decode()
    assert not Rule.objects.exists()


def test_a_name_that_came_with_dpl_stays_one_when_a_chinese_reader_saves(
    world: World, browser: Browser
) -> None:
    rule = world.rule("cpu_percent", name="CPU busy", key="cpu")
    chinese = {"Accept-Language": "zh-CN"}
    page = browser("ada").get(f"/alerts/rules/{rule.pk}/", headers=chinese).content.decode()
    shown = "CPU 繁忙"
    assert f'value="{shown}"' in page
    sent = fields(rule, name=shown, fire_value=91) | scopes()
    told(browser("ada").post(f"/alerts/rules/{rule.pk}/", sent, headers=chinese))
    rule.refresh_from_db()
    assert (rule.name, rule.fire_value) == ("CPU busy", 91)


def test_a_silence_needs_something_to_be_silent(world: World, browser: Browser) -> None:
    response = browser("ada").post("/alerts/silences/", {"minutes": "60"})
    assert response.status_code == 400
    assert "Say what is to be silent" in response.content.decode()
    assert browser("otto").post("/alerts/silences/", {"environment": "lab"}).status_code == 403


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "No/Such", "../../etc/passwd", ""])
def test_a_silence_is_planned_in_the_readers_zone(world: World, browser: Browser, zone: str) -> None:
    sent = {"environment": "lab", "starts_at": "2099-01-01T08:00", "ends_at": "2099-01-01T09:00"}
    told(browser("ada").post("/alerts/silences/", sent | {"zone": zone}))
    hour = 0 if zone == "Asia/Shanghai" else 8
    assert Silence.objects.get().starts_at.hour == hour
    assert "environment lab" in seen(browser("vera"), "silences/")


def test_a_silence_is_ended(world: World, browser: Browser) -> None:
    silence = Silence.objects.create(
        environment="lab", author="otto", ends_at=timezone.now() + timedelta(hours=1)
    )
    assert browser("otto").post(f"/alerts/silences/{silence.pk}/end").status_code == 403
    assert "told again" in told(browser("ada").post(f"/alerts/silences/{silence.pk}/end"))
    assert "ended by ada" in seen(browser("vera"), "silences/")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is asked about addresses."""
    monkeypatch.setattr(validation, "channel_url", lambda text: (text.strip(), ChannelKind.WEBHOOK))


def test_a_channels_address_goes_in_and_never_comes_out(world: World, browser: Browser, quick: None) -> None:
    ada = browser("ada")
    sent = {"name": HOSTILE, "url": ADDRESS, "least_severity": "warning", "is_enabled": "on"}
    assert browser("otto").post("/alerts/channels/", sent).status_code == 403
    told(ada.post("/alerts/channels/", sent))
    channel = Channel.objects.get()
    assert channel.url == ADDRESS
    told(ada.post(f"/alerts/channels/{channel.pk}/", sent | {"url": "", "name": "renamed"}))
    channel.refresh_from_db()
    assert (channel.url, channel.name) == (ADDRESS, "renamed")
    for path in ("channels/", f"channels/{channel.pk}/"):
        assert "top-secret" not in seen(ada, path)
    told(ada.post(f"/alerts/channels/{channel.pk}/remove"))
    assert not Channel.objects.exists()


def test_two_channels_of_one_name_are_refused_at_the_name(
    world: World, browser: Browser, quick: None
) -> None:
    world.channel("ops")
    response = browser("ada").post(
        "/alerts/channels/", {"name": "ops", "url": ADDRESS, "least_severity": "info"}
    )
    assert response.status_code == 400


def test_the_log_tells_failures_with_their_reasons(hot: Alert, world: World, browser: Browser) -> None:
    channel = world.channel("ops")
    world.answer = lambda _: Outcome(False, "no answer within 20 s")
    world.run(60)
    assert Delivery.objects.get().state == "queued"
    page = seen(browser("vera"), "channels/")
    assert page.count("no answer within 20 s") >= 2
    assert "tried again" in page
    world.answer = lambda _: Outcome(True)
    world.run(900)
    assert "works" in seen(browser("vera"), "channels/")
    assert ChannelStatus.objects.get(channel=channel).failing_since_ms is None


def test_the_heartbeat_is_told(world: World, browser: Browser, settings: Any) -> None:
    assert "dead-man" in seen(browser("vera"), "channels/")
    settings.DPL_HEARTBEAT_URL = "https://beat.example/secret-token"
    page = seen(browser("vera"), "channels/")
    assert "was not called yet" in page
    assert "secret-token" not in page


def test_each_metric_has_a_name_for_people() -> None:
    assert not metrics.METRICS.keys() - words.METRICS.keys()
    assert not {one.per for one in metrics.METRICS.values()} - words.OWNERS.keys()


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("gpu_temperature_c", 93.0, "93 °C"),
        ("net_rx_mbps", 12345.6, "12346 Mbps"),
        ("cpu_percent", 0.0123456, "0.01235 %"),
        ("memory_used_bytes", 3 * 2**30, "3.0 GiB"),
        ("node_up", 0.0, "down"),
        ("load1", None, "–"),
    ],
)
def test_values_are_told_with_their_units(metric: str, value: float | None, said: str) -> None:
    assert words.reading(value, metric) == said


def test_a_mute_is_told_in_words() -> None:
    with translation.override("zh-hans"):
        assert words.muted("silence 3 of ada") == "静默 3（ada）"
        assert words.muted("its node is down") == "所在节点已离线"
