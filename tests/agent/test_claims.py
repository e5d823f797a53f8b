"""What a body of /lock and /unlock may say, and the words for what it may not."""

from __future__ import annotations

import pytest

from agent.claims import BadRequestError, anonymous_id, parse_body, parse_claim, parse_release


def test_an_empty_body_locks_for_ten_minutes_in_the_callers_name() -> None:
    claim = parse_claim(parse_body(b""), "10.0.0.5")
    assert (claim.id, claim.caller, claim.owner, claim.ttl_s) == (
        anonymous_id("10.0.0.5"),
        "10.0.0.5",
        None,
        600.0,
    )


def test_it_reads_every_field() -> None:
    body = parse_body(b'{"id":"j7","owner":"ada","installation":"i1","reason":"a run","ttl_s":90,"more":1}')
    claim = parse_claim(body, "::1")
    assert (claim.id, claim.owner, claim.installation, claim.reason, claim.ttl_s) == (
        "j7",
        "ada",
        "i1",
        "a run",
        90.0,
    )


def test_empty_strings_and_nulls_count_as_left_out() -> None:
    claim = parse_claim(parse_body(b'{"id":"","owner":null,"reason":"","ttl_s":null}'), "::1")
    assert (claim.id, claim.owner, claim.reason, claim.ttl_s) == (anonymous_id("::1"), None, None, 600.0)


@pytest.mark.parametrize("ttl_s", ["1", "1.5", "86400"])
def test_it_takes_times_from_a_second_to_a_day(ttl_s: str) -> None:
    assert parse_claim(parse_body(f'{{"ttl_s":{ttl_s}}}'.encode()), "::1").ttl_s == float(ttl_s)


@pytest.mark.parametrize(
    "ttl_s", ["0", "0.9", "-5", "86401", "1e300", f"1{'0' * 400}", '"60"', "true", "[]", "{}"]
)
def test_it_refuses_other_times_and_names_the_limits(ttl_s: str) -> None:
    with pytest.raises(BadRequestError, match="ttl_s must be a number of seconds from 1 to 86400"):
        parse_claim(parse_body(f'{{"ttl_s":{ttl_s}}}'.encode()), "::1")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "not JSON"),
        (b"lock me", "not JSON"),
        (b'{"ttl_s":NaN}', "NaN is no JSON number"),
        (b'{"ttl_s":Infinity}', "Infinity is no JSON number"),
        (b'\xff\xfe{"id":"a"}', "not UTF-8"),
        (b"[" * 60_000, "nested too deeply"),
        (b"[]", "must be a JSON object, not an array"),
        (b"null", "must be a JSON object, not null"),
        (b'"a"', "must be a JSON object, not a string"),
    ],
)
def test_it_refuses_what_is_no_object(raw: bytes, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        parse_body(raw)


@pytest.mark.parametrize("name", ["id", "owner", "installation", "reason"])
def test_texts_must_be_strings_of_a_reasonable_length(name: str) -> None:
    with pytest.raises(BadRequestError, match=f"{name} must be a string, not a number"):
        parse_claim({name: 5}, "::1")
    with pytest.raises(BadRequestError, match=f"{name} has 1001 characters"):
        parse_claim({name: "x" * 1001}, "::1")


def test_an_unlock_speaks_for_the_callers_address_unless_it_names_a_lock() -> None:
    assert parse_release({}, "10.0.0.5").id == anonymous_id("10.0.0.5")
    release = parse_release({"id": "j7", "installation": "i1", "force": True}, "10.0.0.5")
    assert (release.id, release.installation, release.force) == ("j7", "i1", True)


@pytest.mark.parametrize("force", ["yes", 1, None])
def test_force_is_a_boolean_and_nothing_else(force: object) -> None:
    with pytest.raises(BadRequestError, match="force must be true or false"):
        parse_release({"force": force}, "::1")
