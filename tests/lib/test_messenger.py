"""Messages really sent: to a mail server and a webhook of these tests, in processes of their own."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest

from dpl_site.lib import messenger
from dpl_site.lib.addresses import AddressPolicy, networks
from dpl_site.lib.messenger_child import PLUGINS, Refusal, make_plugin, scrub
from tests.alerts.receivers import MailReceiver, WebhookReceiver, running, silent_port

EVERYWHERE = AddressPolicy(networks(["0.0.0.0/0", "::/0"]))
ALL = list(PLUGINS)
HOSTILE = "box\r\nBcc: all@example.org"
TELEGRAM = "tgram://123456789:abcdefg_hijklmnopabcdefghijklmno/12315544/"


def made(url: str, schemes: list[str] = ALL) -> Any:
    return make_plugin(url, schemes, EVERYWHERE)


def test_a_webhook_gets_the_message_as_json() -> None:
    receiver = WebhookReceiver()
    with running(receiver):
        outcome = messenger.send(receiver.url, "GPU hot", "**box** <b>&", kind="warning")
    assert outcome == messenger.Outcome(True, "", "json")
    (path, told) = receiver.taken[0]
    assert path == "/hook"
    assert (told["title"], told["message"], told["type"]) == ("GPU hot", "**box** <b>&", "warning")


def test_a_mail_arrives_whole_and_a_hostile_title_makes_no_header() -> None:
    receiver = MailReceiver()
    with running(receiver):
        outcome = messenger.send(receiver.url, HOSTILE, "node 过热\n.\nBcc: all@example.org")
    assert outcome.is_ok, outcome.error
    sender, recipients, text = receiver.taken[0]
    assert (sender, recipients) == ("<dpl@example.org>", ["<ada@example.org>"])
    mail = email.message_from_string(text, policy=email.policy.default)
    assert mail["Bcc"] is None
    assert mail["Subject"] == "box Bcc: all@example.org"
    assert mail.get_content_type() == "text/plain"
    assert "过热" in mail.get_content()


def test_a_redirect_is_not_followed() -> None:
    receiver = WebhookReceiver()
    with running(receiver):
        receiver.status, receiver.location = (
            302,
            receiver.url.replace("json:", "http:").replace("hook", "other"),
        )
        outcome = messenger.send(receiver.url + "?redirect=yes", "t", "b")
    assert not outcome.is_ok
    assert "302" in outcome.error
    assert [path for path, _ in receiver.taken] == ["/hook"]


def test_a_failure_says_why_and_shows_no_secret() -> None:
    outcome = messenger.send("json://ada:s3cretword@127.0.0.1:1/t0kentoken?key=kkkk5555", "t", "b")
    assert not outcome.is_ok
    assert "refused" in outcome.error
    for secret in ("s3cretword", "t0kentoken", "kkkk5555"):
        assert secret not in outcome.error


def test_what_never_answers_ends_at_the_timeout() -> None:
    with silent_port() as port:
        outcome = messenger.send(f"json://127.0.0.1:{port}/", "t", "b", timeout_s=1.5)
    assert outcome == messenger.Outcome(False, "no answer within 1.5 s")


def test_a_forbidden_address_is_refused_when_a_connection_is_made(settings: Any) -> None:
    """Mail is not judged by its URL, whose host is not always the server: only the guard of the sockets is left."""
    settings.DPL_NOTICE_NETWORKS = ["198.51.100.0/24"]
    outcome = messenger.send(
        "mailto://169.254.169.254/?from=a@example.org&to=b@example.org&mode=insecure", "t", "b"
    )
    assert not outcome.is_ok
    assert "metadata" in outcome.error
    outcome = messenger.send(
        "mailto://203.0.113.9/?from=a@example.org&to=b@example.org&mode=insecure", "t", "b"
    )
    assert "DPL_NOTICE_NETWORKS" in outcome.error


@pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated"
)  # a library of a library, where it tries for more
@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("mailtos://ada:word@mail.example.org", "mailtos"),
        ("json://10.0.0.5:8080/hook", "json"),
        ("jsons://hooks.example.org/x", "jsons"),
        ("slack://TJHA0000/BJHA00000/BJHA0000000000000000000000", "slack"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "slack"),
        ("https://oapi.dingtalk.com/robot/send?access_token=" + "a" * 64, "dingtalk"),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "feishu"),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abcdefg", "wecombot"),
        (TELEGRAM, "tgram"),
    ],
)
def test_it_takes_each_kind_of_address_as_people_paste_it(url: str, scheme: str) -> None:
    found, plugin = made(url)
    assert found == scheme
    assert plugin.redirects is False
    # Telegram's plain text is HTML whose marks are escaped.
    assert plugin.resolve_format("text") == ("html" if scheme == "tgram" else "text")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "Write an Apprise address"),
        ("not an address", "Write an Apprise address"),
        ("ftp://example.org/", "ftp is no kind"),
        ("https://example.org/hook", "json://host/path"),
        ("json://[::1", "cannot be read"),
        ("json://example.org:99999/", "cannot be read"),
        ("slack://T1/B2", "not complete"),
        ("json://169.254.169.254/latest", "metadata"),
        ("json://0.0.0.0/", "every address"),
        ("slack://TJHA0000/BJHA00000/BJHA0000000000000000000000/?template=/etc/passwd", "template"),
        ("mailto://a:b@example.org/?pgppub=/etc/passwd", "pgppub"),
    ],
)
def test_what_is_no_address_for_messages_is_refused_with_the_reason(url: str, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        made(url)


def test_kinds_that_are_not_allowed_are_refused() -> None:
    with pytest.raises(Refusal, match="Use json"):
        made(TELEGRAM, ["json"])
    with pytest.raises(Refusal):
        made("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", ["json"])


@pytest.mark.parametrize(
    "url",
    [
        "slack://TJHA0000/BJHA00000/BJHA0000000000000000000000",
        "dingtalk://" + "a" * 64,
        "feishu://aaaaaaaabbbb",
        "wecombot://abcdefg",
        TELEGRAM,
    ],
)
def test_chats_read_nothing_into_hostile_text(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each chat would be sent: as plain text, or with what is special escaped."""
    import requests

    _, plugin = made(url)
    sent: list[str] = []

    class Taken:
        status_code, text = 200, "ok"
        content = b"ok" if url.startswith("slack") else b'{"errcode":0,"ok":true}'

        def json(self) -> dict[str, Any]:
            return {"ok": True}

    def take(*_: Any, **told: Any) -> Taken:
        sent.append(str(told.get("data") or told.get("json")))
        return Taken()

    monkeypatch.setattr(requests, "post", take)
    monkeypatch.setattr(requests, "request", take)
    assert plugin.notify(title="t", body="<!channel> <b>x</b> [a](http://evil) @all", body_format="text")
    assert "<!channel>" not in sent[0] or '"msgtype": "text"' in sent[0] or '"msg_type": "text"' in sent[0]
    assert "isAtAll': True" not in sent[0]


def test_scrubbing_leaves_no_part_of_an_address() -> None:
    url = "slack://botname@TJHA0000/BJHA00000/BJHA0000000000000000000000/#room"
    text = scrub(f"sending to {url} of TJHA0000 failed: BJHA00000 is unknown to botname", url)
    assert text == "sending to … of … failed: … is unknown to …"
