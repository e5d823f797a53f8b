"""Every setting: where it comes from, what it defaults to, and what is refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.dotenv import parse_dotenv
from agent.engine_address import engine_base_url
from agent.engines import USUAL_PORTS
from agent.settings import SettingError, load_dotenv, read_settings, state_path
from agent.state import State


def test_it_listens_on_loopback_when_nothing_is_set() -> None:
    settings = read_settings({}, {})
    assert (settings.host, settings.port, settings.token, settings.model) == ("127.0.0.1", 8001, None, None)
    assert settings.engine_url == "http://127.0.0.1:11434"
    assert settings.parent_fd is None


def test_a_token_opens_every_interface() -> None:
    assert read_settings({"DPL_AGENT_TOKEN": "s3cret"}, {}).host == ".".join(["0"] * 4)
    assert read_settings({"DPL_AGENT_TOKEN": "s3cret"}, {}, host="192.168.1.5").host == "192.168.1.5"


def test_flags_go_before_the_environment_and_that_before_the_file() -> None:
    environ, dotenv = (
        {"PORT": "9001", "OLLAMA_MODEL": "a"},
        {"PORT": "9002", "OLLAMA_MODEL": "b", "OLLAMA_HOST": "h"},
    )
    settings = read_settings(environ, dotenv, port=9000)
    assert (settings.port, settings.model, settings.engine_url) == (9000, "a", "http://h:11434")
    assert read_settings(environ, dotenv).port == 9001
    assert read_settings({"PORT": " "}, dotenv).port == 9002


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.53", "::1", "[::1]"])
def test_every_name_of_loopback_needs_no_token(host: str) -> None:
    assert read_settings({}, {}, host=host).host == host


@pytest.mark.parametrize("host", ["::", "192.168.1.5", "example.lan", ".".join(["0"] * 4)])
def test_another_host_without_a_token_is_refused_and_told_how(host: str) -> None:
    with pytest.raises(SettingError, match=r"DPL_AGENT_TOKEN is not set.*Set DPL_AGENT_TOKEN"):
        read_settings({}, {}, host=host)


@pytest.mark.parametrize("port", ["0", "65536", "-1", "abc", "80.5", "８００１"])
def test_a_bad_port_is_refused_by_name(port: str) -> None:
    with pytest.raises(SettingError, match=r"^PORT must be a number from 1 to 65535"):
        read_settings({"PORT": port}, {})


def test_port_zero_is_for_the_flag_only() -> None:
    assert read_settings({}, {}, port=0).port == 0
    with pytest.raises(SettingError, match=r"^--port must be"):
        read_settings({}, {}, port=70000)


@pytest.mark.parametrize("token", ["two words", "schlüssel", "tab\there"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(SettingError, match=r"^DPL_AGENT_TOKEN must be printable ASCII"):
        read_settings({"DPL_AGENT_TOKEN": token}, {})


def test_a_bad_engine_address_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match=r"^OLLAMA_HOST is 'ftp://box'.*http or https.*Write it like"):
        read_settings({"OLLAMA_HOST": "ftp://box"}, {})


def test_engines_are_looked_for_on_the_usual_ports_or_on_those_that_are_named() -> None:
    assert read_settings({}, {}).engine_ports == USUAL_PORTS
    assert read_settings({"DPL_AGENT_ENGINE_PORTS": "8080, 9000"}, {}).engine_ports == (8080, 9000)
    assert read_settings({"DPL_AGENT_ENGINE_PORTS": "none"}, {}).engine_ports == ()


@pytest.mark.parametrize("ports", ["x", "8080,0", "70000", ",".join(str(port) for port in range(1000, 1100))])
def test_bad_engine_ports_are_refused_by_name(ports: str) -> None:
    with pytest.raises(SettingError, match=r"^DPL_AGENT_ENGINE_PORTS m"):
        read_settings({"DPL_AGENT_ENGINE_PORTS": ports}, {})


JOINED = State(
    machine_id="m", server_url="http://dpl:8000", agent_token="t", mode="push", host="10.0.0.7", port=9100
)


def test_what_joining_left_counts_where_nothing_else_is_said() -> None:
    settings = read_settings({}, {}, state=JOINED)
    assert (settings.token, settings.server_url, settings.mode) == ("t", "http://dpl:8000", "push")
    assert (settings.host, settings.port) == ("10.0.0.7", 9100)
    settings = read_settings({"PORT": "9001"}, {}, host="127.0.0.1", state=JOINED)
    assert (settings.host, settings.port) == ("127.0.0.1", 9001)


def test_a_token_that_somebody_set_makes_the_state_count_for_nothing() -> None:
    settings = read_settings({"DPL_AGENT_TOKEN": "mine"}, {}, state=JOINED)
    assert (settings.token, settings.server_url, settings.mode) == ("mine", None, "pull")
    assert (settings.host, settings.port) == (".".join(["0"] * 4), 8001)


def test_a_server_that_is_named_is_pushed_to() -> None:
    settings = read_settings({"DPL_SERVER_URL": "dpl.lan", "DPL_AGENT_TOKEN": "t"}, {})
    assert (settings.server_url, settings.mode) == ("http://dpl.lan:8000", "push")
    with pytest.raises(SettingError, match=r"^DPL_SERVER_URL is set, but no token"):
        read_settings({"DPL_SERVER_URL": "dpl.lan"}, {})


def test_while_it_joins_the_join_token_is_its_own() -> None:
    environ = {"DPL_SERVER_URL": "http://old"}
    settings = read_settings(environ, {}, state=JOINED, join_token="new")
    assert (settings.token, settings.mode, settings.server_url) == ("new", "pull", None)


@pytest.mark.parametrize("written", ["AB:" * 31 + "AB", "ab" * 32, "sha256:" + "ab" * 32])
def test_a_pin_is_understood_as_tools_show_it(written: str) -> None:
    assert read_settings({"DPL_SERVER_PIN": written}, {}).server_pin == "ab" * 32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DPL_SERVER_PIN", "ab"),
        ("DPL_SERVER_PIN", "zz" * 32),
        ("DPL_SERVER_URL", "ftp://a"),
        ("DPL_AGENT_CORS_ORIGINS", "*"),
        ("DPL_AGENT_CORS_ORIGINS", "http://a/path"),
    ],
)
def test_bad_settings_of_the_server_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} "):
        read_settings({"DPL_AGENT_TOKEN": "t", name: value}, {})


def test_origins_are_a_list() -> None:
    settings = read_settings({"DPL_AGENT_CORS_ORIGINS": "http://a:8000/, https://b"}, {})
    assert settings.cors_origins == {"http://a:8000", "https://b"}


def test_the_state_is_where_the_settings_say() -> None:
    assert state_path({"DPL_AGENT_STATE": "/x/s.json"}, {}) == Path("/x/s.json")
    assert state_path({}, {"DPL_AGENT_STATE": "/y/s.json"}) == Path("/y/s.json")
    assert state_path({"HOME": "/h"}, {}).name == "state.json"


@pytest.mark.parametrize("fd", ["x", "-1", "99999", "9" * 30])
def test_a_parent_pipe_that_is_not_there_is_refused(fd: str) -> None:
    with pytest.raises(SettingError, match=r"^DPL_PARENT_FD must be an open file descriptor"):
        read_settings({"DPL_PARENT_FD": fd}, {})


def test_the_parent_pipe_is_no_business_of_the_file() -> None:
    reader, writer = os.pipe()
    try:
        assert read_settings({"DPL_PARENT_FD": str(reader)}, {}).parent_fd == reader
        assert read_settings({}, {"DPL_PARENT_FD": str(reader)}).parent_fd is None
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", "http://127.0.0.1:11434"),
        ("127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434"),
        (".".join(["0"] * 4), "http://127.0.0.1:11434"),
        (f"http://{'.'.join(['0'] * 4)}:9999", "http://127.0.0.1:9999"),
        ("[::]:11434", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("box.lan", "http://box.lan:11434"),
        ("http://box.lan", "http://box.lan:80"),
        ("https://box.lan", "https://box.lan:443"),
        ("http://box.lan:11434/api/chat", "http://box.lan:11434"),
        ("http://box.lan:8080/v1", "http://box.lan:8080"),
        ("http://box.lan/ollama/", "http://box.lan:80/ollama"),
        ('"localhost:11434"', "http://localhost:11434"),
    ],
)
def test_whatever_people_write_into_ollama_host_is_understood(written: str, meant: str) -> None:
    assert engine_base_url(written) == meant


@pytest.mark.parametrize(
    "written", ["my box", "http://u:p@box", "box:0", "box:99999", "box:x", "http://[::1", "box?a=b"]
)
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        engine_base_url(written)


def test_it_reads_a_dotenv_file_as_people_write_it() -> None:
    text = "# mine\nPORT=9001\nexport OLLAMA_HOST = 'box:1' # there\nA=\"x # y\"\nB=x # y\nC=\n  D=d#d\n"
    text += "nonsense\nPORT=9002\n"
    assert parse_dotenv(text) == {
        "PORT": "9002",
        "OLLAMA_HOST": "box:1",
        "A": "x # y",
        "B": "x",
        "C": "",
        "D": "d#d",
    }


def test_a_missing_file_is_no_settings_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    assert load_dotenv(tmp_path / ".env") == {}
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfPORT=1\n")
    assert load_dotenv(tmp_path / ".env") == {"PORT": "1"}
    (tmp_path / ".env").write_bytes(b"PORT=\xff")
    with pytest.raises(SettingError, match="cannot be read"):
        load_dotenv(tmp_path / ".env")


def test_simulated_gpus_are_off_unless_a_number_is_set() -> None:
    assert read_settings({}, {}).simulated_gpus == 0
    assert read_settings({"DPL_AGENT_SIMULATED_GPUS": "2"}, {}).simulated_gpus == 2


@pytest.mark.parametrize("written", ["-1", "17", "two", "２", "1.5"])
def test_a_wrong_number_of_simulated_gpus_is_refused_by_name(written: str) -> None:
    with pytest.raises(SettingError, match=r"^DPL_AGENT_SIMULATED_GPUS must be a number from 0 to 16"):
        read_settings({"DPL_AGENT_SIMULATED_GPUS": written}, {})
