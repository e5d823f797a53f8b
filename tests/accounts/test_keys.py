"""What a key looks like, and what is kept of it."""

from __future__ import annotations

import hashlib

import pytest

from accounts import keys


def test_a_key_is_its_mark_and_forty_url_safe_characters() -> None:
    new = keys.new_key()
    assert len(new.plain) == 44
    assert new.plain.startswith("dpl_")
    assert keys.is_key(new.plain)


def test_no_two_keys_are_alike() -> None:
    assert len({keys.new_key().plain for _ in range(1000)}) == 1000


def test_the_digest_is_sha256_and_the_prefix_tells_little() -> None:
    new = keys.new_key()
    assert new.digest == hashlib.sha256(new.plain.encode()).hexdigest()
    assert new.plain.startswith(new.prefix)
    assert len(new.plain) - len(new.prefix) == 32


@pytest.mark.parametrize(
    "text", ["", "dpl_", "dpl_" + "a" * 39, "dpl_" + "a" * 41, "sk-" + "a" * 41, "dpl_" + "é" * 40]
)
def test_other_texts_are_no_keys(text: str) -> None:
    assert not keys.is_key(text)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer dpl_x", "dpl_x"),
        ("bearer   dpl_x ", "dpl_x"),
        ("Token dpl_x", "dpl_x"),
        ("Bearer", ""),
        ("Basic dpl_x", None),
        ("dpl_x", None),
        ("", None),
        (None, None),
    ],
)
def test_a_key_is_found_behind_bearer_and_token_only(header: str | None, key: str | None) -> None:
    assert keys.key_in(header) == key
