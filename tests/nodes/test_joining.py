"""Invitations: made, used as often as they say, over in time, and each refusal in its own words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from dpl_site.lib.refusals import Refused
from nodes import joining
from nodes.join_lines import is_this_machine_only, join_lines
from nodes.joining import JoinRefused, token_create, token_of, token_revoke, token_use
from nodes.models import JoinToken, Node, NodeJoin

pytestmark = pytest.mark.django_db


def code(plain: str) -> str:
    with pytest.raises(JoinRefused) as refused:
        token_of(plain)
    assert refused.value.status == 401
    assert "new line" in refused.value.message
    return refused.value.code


def test_a_token_is_kept_as_its_hash_only() -> None:
    row, plain = token_create(created_by="ada", name=" box ", environment="lab")
    assert plain.startswith("dpj_")
    kept = JoinToken.objects.values().get()
    assert plain not in " ".join(map(str, kept.values()))
    assert (row.name, row.environment, row.most_uses) == ("box", "lab", 1)
    assert token_of(plain) == row


def test_it_is_good_once_unless_said() -> None:
    row, plain = token_create(created_by="ada")
    token_use(token_id=row.id)
    assert code(plain) == "join_token_used"
    with pytest.raises(JoinRefused, match="used already"):
        token_use(token_id=row.id)


def test_it_is_good_for_as_many_machines_as_it_says() -> None:
    row, plain = token_create(created_by="ada", uses=2)
    token_use(token_id=row.id)
    assert token_of(plain).uses == 1
    token_use(token_id=row.id)
    assert code(plain) == "join_token_used"


def test_a_late_a_revoked_and_an_unknown_one_are_told_apart() -> None:
    row, late = token_create(created_by="ada", ttl_s=60)
    JoinToken.objects.filter(id=row.id).update(expires_ms=row.expires_ms - 61_000)
    assert code(late) == "join_token_expired"
    with pytest.raises(JoinRefused, match="expired"):
        token_use(token_id=row.id)
    row, revoked = token_create(created_by="ada")
    token_revoke(token_id=row.id)
    assert code(revoked) == "join_token_revoked"
    assert code("dpj_" + "x" * 40) == code("hello") == "join_token_unknown"
    with pytest.raises(Refused) as again:
        token_revoke(token_id=row.id)
    assert again.value.status == 404


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"ttl_s": 0}, "ttl_s"),
        ({"ttl_s": 31 * 86_400}, "ttl_s"),
        ({"uses": 0}, "uses"),
        ({"uses": 4}, "uses"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"environment": "x" * 51}, "environment"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_field(
    asked: dict[str, object], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DPL_JOIN_TOKEN_MOST_USES", 3)
    with pytest.raises(Refused) as refused:
        token_create(created_by="ada", **asked)  # type: ignore[arg-type]  # the point of the test
    assert refused.value.detail is not None
    assert list(refused.value.detail) == [field]


def test_not_more_stand_open_than_anybody_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "MOST_OPEN", 2)
    first, _ = token_create(created_by="ada")
    token_create(created_by="ada")
    with pytest.raises(Refused, match="Revoke some"):
        token_create(created_by="ada")
    token_revoke(token_id=first.id)
    token_create(created_by="ada")


def test_what_is_long_past_is_pruned() -> None:
    row, _ = token_create(created_by="ada")
    node = Node.objects.create(name="fast")
    joining.join_note(token=row, node=node, address="127.0.0.1", mode="pull")
    assert joining.prune(older_than_days=1, most=10) == 0
    long_ago = timezone.now() - timedelta(days=2)
    JoinToken.objects.update(created_at=long_ago)
    NodeJoin.objects.update(at=long_ago)
    assert joining.prune(older_than_days=1, most=10) == 2
    assert Node.objects.exists()


def test_the_line_installs_from_this_server_and_joins_it() -> None:
    lines = join_lines(server="http://10.0.0.1:8000/", token="dpj_t", wheel="w.whl")
    for line in lines.values():
        assert "install -q http://10.0.0.1:8000/agent/w.whl" in line
        assert line.endswith("dpl-agent join http://10.0.0.1:8000 dpj_t")
    assert lines["linux"].startswith("python3 -m venv ")
    assert lines["windows"].startswith("py -m venv ")


def test_an_address_of_this_machine_alone_is_known_as_such() -> None:
    alone = ("http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000")
    assert all(map(is_this_machine_only, alone))
    assert not is_this_machine_only("http://10.0.0.1:8000")
