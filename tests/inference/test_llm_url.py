"""Whatever form of an engine's address people paste is understood, or refused with a sentence that helps."""

from __future__ import annotations

import pytest

from inference.llm_url import LlmUrlError, Pasted, parse_llm_url


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("http://box:11434", "http://box:11434"),
        ("http://box:11434/", "http://box:11434"),
        ("box:11434", "http://box:11434"),
        ("box", "http://box:11434"),
        ("192.168.1.20", "http://192.168.1.20:11434"),
        ("//box:8080", "http://box:8080"),
        ("  HTTP://Box.LAN:8080  ", "http://box.lan:8080"),
        ("'http://box:1'", "http://box:1"),
        ("“http://box:1”", "http://box:1"),
        ("<http://box:1>", "http://box:1"),
        ("http://box", "http://box:80"),
        ("https://box", "https://box:443"),
        ("https://box:8443/v1", "https://box:8443"),
        ("http://[::1]:11434", "http://[::1]:11434"),
        ("[fd00:0:0::20]:8000/v1", "http://[fd00::20]:8000"),
        ("http://box/ollama/v1", "http://box:80/ollama"),
        ("http://box/a/b/api/chat", "http://box:80/a/b"),
        ("http://box//v1//", "http://box:80"),
        ("http://box/api/v1/chat/completions", "http://box:80/api"),
        ("http://box/api/chat/completions", "http://box:80"),
        ("http://box:1/#/models", "http://box:1"),
        ("http：//盒子.local：8000／v1", "http://xn--i8sz35d.local:8000"),
        ("http://gpu_box.:8000", "http://gpu_box:8000"),
    ],
)
def test_it_makes_one_canonical_base_url(text: str, base_url: str) -> None:
    assert parse_llm_url(text).base_url == base_url


@pytest.mark.parametrize(
    ("path", "kind", "chat_path"),
    [
        ("", None, None),
        ("/api/chat", "ollama", "/api/chat"),
        ("/api/generate/", "ollama", "/api/generate"),
        ("/API/Chat", "ollama", "/api/chat"),
        ("/api/tags", "ollama", None),
        ("/api", "ollama", None),
        ("/v1", "openai", None),
        ("/v1/models", "openai", None),
        ("/v1/chat/completions", "openai", "/v1/chat/completions"),
        ("/lab", None, None),
    ],
)
def test_it_takes_hints_from_the_path(path: str, kind: str | None, chat_path: str | None) -> None:
    pasted = parse_llm_url(f"http://box:1{path}")
    assert (pasted.hint_kind, pasted.hint_chat_path) == (kind, chat_path)


def test_it_gives_a_base_url_that_it_reads_the_same_again() -> None:
    pasted = parse_llm_url("[fd00::1]/lab/v1/")
    assert parse_llm_url(pasted.base_url) == Pasted(pasted.base_url)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("http://", "names no machine"),
        ("http://:11434", "names no machine"),
        ("ws://box", "http:// or https://"),
        ("file:///etc/passwd", "http:// or https://"),
        ("http://me:secret@box:1", "key's own field"),
        ("http://box:1/v1?api_key=x", "key's own field"),
        ("http://my box", "no spaces"),
        ("http://box\\v1", "no spaces or backslashes"),
        ("http://box:99999", "port"),
        ("http://box:0", "port"),
        ("box:port", "port"),
        ("::1", "brackets"),
        ("fd00::1:11434", "brackets"),
        ("http://[fd00::1", "not an address"),
        ("http://[nonsense]:1", "not an address"),
        ("http://[fe80::1%25eth0]:1", "zone"),
        ("http://box/../admin", "dots for folders"),
        ("http://-box-", "not a machine's name"),
        ("http://a..b", "not a machine's name"),
        ("http://box/" + "x" * 600, "longer than 500"),
    ],
)
def test_it_refuses_the_rest_and_says_what_to_do(text: str, hint: str) -> None:
    with pytest.raises(LlmUrlError) as refused:
        parse_llm_url(text)
    assert hint in refused.value.message
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "1.2.3.4.5", "300.1.1.1"])
def test_a_number_that_is_no_ipv4_address_is_told(host: str) -> None:
    with pytest.raises(LlmUrlError, match="four numbers"):
        parse_llm_url(f"http://{host}:11434")
