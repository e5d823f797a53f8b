"""`manage.py apikey`."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.authentication import authenticate
from accounts.limits import KeyLimits
from accounts.models import User
from accounts.services import key_create


def apikey(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("apikey", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().splitlines()


def test_create_prints_the_key_on_a_line_of_its_own(people: dict[str, User]) -> None:
    lines = apikey("create", "--user", "otto", "--name", "ci")
    principal = authenticate(f"Bearer {lines[0]}")
    assert len(lines) == 1
    assert principal is not None
    assert principal.scopes == {"read", "chat", "datasets"}


def test_create_takes_scopes(people: dict[str, User]) -> None:
    (plain,) = apikey("create", "--user", "otto", "--name", "ci", "--scope", "chat", "--scope", "read")
    principal = authenticate(f"Bearer {plain}")
    assert principal is not None
    assert principal.scopes == {"chat", "read"}


def test_create_says_what_is_wrong(people: dict[str, User]) -> None:
    with pytest.raises(CommandError, match="There is no user 'nobody'"):
        apikey("create", "--user", "nobody", "--name", "ci")
    with pytest.raises(CommandError, match="vera may give read"):
        apikey("create", "--user", "vera", "--name", "ci", "--scope", "admin")


def test_list_shows_no_key_in_plain(people: dict[str, User]) -> None:
    _, plain = key_create(user=people["otto"], name="ci")
    (line,) = apikey("list")
    assert plain not in line
    assert line.split("\t")[1:] == [plain[:12], "otto", "ci", "read,chat,datasets", "live", "never"]


def test_revoke_takes_an_id_a_beginning_or_the_whole_key(people: dict[str, User]) -> None:
    for how in (0, 1, 2):
        key, plain = key_create(user=people["otto"], name="ci")
        apikey("revoke", [str(key.pk), plain[:12], plain][how])
        key.refresh_from_db()
        assert key.revoked_at is not None


def test_revoke_asks_when_it_is_not_clear_which(people: dict[str, User]) -> None:
    key_create(user=people["otto"], name="one")
    key_create(user=people["otto"], name="two")
    with pytest.raises(CommandError, match="More than one key"):
        apikey("revoke", "dpl_")
    with pytest.raises(CommandError, match="There is no key 'dpl_zzzzzzzz'"):
        apikey("revoke", "dpl_zzzzzzzzzz")


def test_limits_are_set_and_taken_away(people: dict[str, User]) -> None:
    (plain,) = apikey("create", "--user", "otto", "--name", "ci", "--requests-per-minute", "60")
    principal = authenticate(f"Bearer {plain}")
    assert principal is not None
    assert principal.limits == KeyLimits(requests_per_minute=60)
    assert apikey("list")[0].split("\t")[-1] == "60 requests per minute"
    (said,) = apikey("limit", plain[:12], "--tokens-per-day", "1000")
    assert said.endswith("60 requests per minute, 1000 tokens per day")
    (said,) = apikey("limit", plain[:12], "--tokens-per-day", "none", "--requests-per-minute", "none")
    assert said.endswith("no limits")
    principal = authenticate(f"Bearer {plain}")
    assert principal is not None
    assert principal.limits is None
    with pytest.raises(CommandError, match="must be 1 to"):
        apikey("limit", plain[:12], "--requests-per-day", "0")
