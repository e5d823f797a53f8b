"""How settings are read: each reader, the files of secrets, and bad values that name their setting."""

from __future__ import annotations

import json
import logging.config
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from dpl_site import config
from dpl_site.lib import trace
from dpl_site.processes.ports import port_number


def reader(**source: str) -> config.Reader:
    return config.Reader(source)


def test_text_is_read_without_blanks() -> None:
    assert reader(A="  x y ").text("A", "d") == "x y"
    assert reader().text("A", "d") == "d"
    assert reader(A="").text("A", "d") == ""


@pytest.mark.parametrize("word", ["1", "true", "True", "YES", "on"])
def test_true_has_many_spellings(word: str) -> None:
    assert reader(A=word).boolean("A", False) is True


@pytest.mark.parametrize("word", ["0", "false", "No", "OFF"])
def test_false_has_many_spellings(word: str) -> None:
    assert reader(A=word).boolean("A", True) is False


def test_an_empty_value_means_the_default() -> None:
    empty = reader(A="")
    assert empty.boolean("A", True) is True
    assert empty.number("A", 1.5, low=0, high=2) == 1.5
    assert empty.integer("A", 1, low=0, high=2) == 1
    assert empty.choice("A", "x", ["x", "y"]) == "x"
    assert empty.listing("A", ["x"]) == ["x"]
    assert empty.secret("A", "x") == "x"
    assert empty.path("A", Path("/x")) == Path("/x")


def test_numbers_are_read_within_bounds() -> None:
    assert reader(A="0.25").number("A", 1, low=0, high=2) == 0.25
    assert reader(A="2").number("A", 1, low=0, high=2) == 2
    assert reader(A="1e3").integer("A", 1, low=0, high=5000) == 1000


@pytest.mark.parametrize("value", ["x", "nan", "inf", "-inf", "-0.1", "2.1", "1,5"])
def test_a_bad_number_names_its_setting(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DPL_A: .*(not a number|not between 0 and 2)"):
        reader(DPL_A=value).number("DPL_A", 1, low=0, high=2)


def test_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DPL_A: 1.5 is not a whole number"):
        reader(DPL_A="1.5").integer("DPL_A", 1, low=0, high=2)


def test_a_word_that_is_neither_true_nor_false_names_its_setting() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DPL_A: 'maybe' is neither true nor false"):
        reader(DPL_A="maybe").boolean("DPL_A", True)


def test_a_choice_is_made_however_it_is_capitalised() -> None:
    assert reader(A="info").choice("A", "DEBUG", ["DEBUG", "INFO"]) == "INFO"
    with pytest.raises(ImproperlyConfigured, match=r"^DPL_A: 'loud' is not one of DEBUG, INFO"):
        reader(DPL_A="loud").choice("DPL_A", "DEBUG", ["DEBUG", "INFO"])


def test_a_listing_is_cut_at_commas() -> None:
    assert reader(A=" a, b ,,c,").listing("A", []) == ["a", "b", "c"]
    assert reader(A=",").listing("A", ["d"]) == []


def test_a_path_is_absolute_and_knows_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert reader(A="~/x").path("A", Path("/d")) == tmp_path / "x"
    monkeypatch.chdir(tmp_path)
    assert reader(A="sub/../y").path("A", Path("/d")) == tmp_path / "y"


def test_a_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    folder = reader(A=str(tmp_path / "a" / "b")).folder("A", tmp_path)
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_names_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImproperlyConfigured, match=r"^DPL_DATA_DIR: cannot make the folder"):
        reader(DPL_DATA_DIR=str(tmp_path / "file" / "x")).folder("DPL_DATA_DIR", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_names_its_setting(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ImproperlyConfigured, match=r"^DPL_DATA_DIR: .* is not writable"):
        reader(DPL_DATA_DIR=str(tmp_path)).folder("DPL_DATA_DIR", tmp_path)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(" s3cret\n")
    assert reader(A_FILE=str(file)).secret("A", "") == "s3cret"
    assert reader(A="", A_FILE=str(file)).secret("A", "") == "s3cret"
    assert reader(A="plain", A_FILE=str(file)).secret("A", "") == "plain"
    assert reader(A_FILE="").secret("A", "d") == "d"


def test_a_file_of_a_secret_that_is_no_use_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^REDIS_URL_FILE: cannot read"):
        reader(REDIS_URL_FILE=str(tmp_path / "missing")).secret("REDIS_URL", "")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(ImproperlyConfigured, match=r"^REDIS_URL_FILE: cannot read"):
        reader(REDIS_URL_FILE=str(tmp_path / "bytes")).secret("REDIS_URL", "")
    (tmp_path / "empty").touch()
    with pytest.raises(ImproperlyConfigured, match=r"^REDIS_URL_FILE: .* is empty"):
        reader(REDIS_URL_FILE=str(tmp_path / "empty")).secret("REDIS_URL", "")


def test_a_secret_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    first = config.made_secret(file)
    assert config.made_secret(file) == first
    assert len(first) >= 50
    assert file.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_processes_that_start_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    go = tmp_path / "go"
    script = (
        "import sys, pathlib\n"
        "from dpl_site.config import made_secret\n"
        "print('ready', flush=True)\n"
        "while not pathlib.Path(sys.argv[2]).exists(): pass\n"
        "print(made_secret(pathlib.Path(sys.argv[1])))\n"
    )
    command = [sys.executable, "-c", script, str(file), str(go)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    go.touch()
    answers = {racer.communicate(timeout=30)[0].strip() for racer in racers}
    assert answers == {file.read_text()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["go", "secret_key"]


def test_an_empty_secret_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "secret_key").touch()
    with pytest.raises(ImproperlyConfigured, match=r"^DPL_SECRET_KEY: .* is empty. Remove it"):
        config.made_secret(tmp_path / "secret_key")


def test_a_secret_that_cannot_be_kept_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DPL_SECRET_KEY: cannot keep a secret in"):
        config.made_secret(tmp_path / "missing" / "secret_key")


def test_sqlite_is_tuned_for_many_processes() -> None:
    found = config.database("sqlite:////data/dpl.sqlite3", pooled=True)
    assert (found["ENGINE"], found["NAME"]) == ("dpl_site.lib.sqlite", "/data/dpl.sqlite3")
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in found["OPTIONS"]["init_command"]
    assert found["TEST"]["NAME"] != found["NAME"]


def test_postgres_is_pooled_for_the_web_and_kept_open_for_others() -> None:
    url = "postgres://u:p%40ss@db:5433/dpl?sslmode=require"
    web = config.database(url, pooled=True)
    assert (web["USER"], web["PASSWORD"], web["HOST"], web["PORT"]) == ("u", "p@ss", "db", 5433)
    assert (web["OPTIONS"]["sslmode"], web["OPTIONS"]["pool"]["max_size"], web["CONN_MAX_AGE"]) == (
        "require",
        16,
        0,
    )
    worker = config.database(url, pooled=False)
    assert (worker["CONN_MAX_AGE"], worker["CONN_HEALTH_CHECKS"], "pool" in worker["OPTIONS"]) == (
        60,
        True,
        False,
    )


def test_the_urls_own_options_win() -> None:
    assert (
        config.database("postgres://db/dpl?connect_timeout=30", pooled=False)["OPTIONS"]["connect_timeout"]
        == 30
    )


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "dpl.sqlite3",
            "mysql://u:hunter2@h/d",
            "postgress://u:hunter2@h/d",
            "postgres://u:hunter2/x@h/d",
        ),
        *("postgres://u:hunter2@h", "sqlite://", "sqlite://:memory:"),
    ],
)
def test_a_bad_database_url_names_its_setting_and_keeps_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL: ") as refused:
        config.database(url, pooled=False)
    assert "hunter2" not in str(refused.value)


def logged(form: str) -> str:
    """One log line of a process with this form, written while it answers request r-1."""
    script = (
        "import logging, logging.config\n"
        "from dpl_site import config\n"
        "from dpl_site.lib import trace\n"
        f"logging.config.dictConfig(config.logging_setup({form!r}, 'INFO'))\n"
        "trace.request_id.set('r-1')\n"
        "logging.getLogger('nodes').info('hello %s', 'there')\n"
        "logging.getLogger('nodes').debug('unheard')\n"
        "logging.getLogger('django.request').warning('unheard')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    return run.stderr


def test_text_lines_carry_the_requests_id() -> None:
    line = logged("text")
    assert line.endswith("INFO nodes: [r-1] hello there\n")
    assert line.count("\n") == 1


def test_json_lines_are_objects() -> None:
    found = json.loads(logged("json"))
    assert (found["levelname"], found["name"], found["message"]) == ("INFO", "nodes", "hello there")
    assert found["request_id"] == "r-1"
    assert isinstance(found["process"], int)


def test_a_line_outside_a_request_has_no_id() -> None:
    record = logging.LogRecord("n", logging.INFO, "f", 1, "m", None, None)
    trace.RequestIdFilter().filter(record)
    assert record.__dict__["tag"] == ""


def settings_of(**environment: str) -> subprocess.CompletedProcess[str]:
    """What happens when a process reads the settings in this environment."""
    return subprocess.run(
        [sys.executable, "-c", "from dpl_site import settings; print(settings.DPL_PORT)"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_bad_value_stops_the_start_with_the_settings_name() -> None:
    run = settings_of(DPL_PORT="99999")
    assert run.returncode != 0
    assert "DPL_PORT: 99999 is not between 1 and 65535." in run.stderr


def test_a_file_of_settings_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "my.env").write_text("DPL_PORT=8123\n")
    file = str(tmp_path / "my.env")
    assert settings_of(DPL_ENV_FILE=file).stdout.strip() == "8123"
    assert settings_of(DPL_ENV_FILE=file, DPL_PORT="8124").stdout.strip() == "8124"


@pytest.mark.parametrize(
    ("read", "value"),
    [
        ("addresses", "foo"),
        ("addresses", "10.0.0.1,300.1.1.1"),
        ("origins", "foo"),
        ("origins", "https://x.example/path"),
        ("origins", "*"),
        ("redis", "foo"),
        ("redis", "http://127.0.0.1:6379"),
    ],
)
def test_a_value_of_the_wrong_form_names_its_setting(read: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^A: "):
        getattr(reader(A=value), read)("A")


def test_hosts_are_names_without_a_scheme() -> None:
    assert reader(A="dpl.example.org, .lab,*,[::1]").hosts("A", []) == [
        "dpl.example.org",
        ".lab",
        "*",
        "[::1]",
    ]
    with pytest.raises(ImproperlyConfigured, match=r"^A: "):
        reader(A="http://x/").hosts("A", [])


def test_what_is_right_is_taken_as_it_stands() -> None:
    assert reader(A="10.0.0.1, 10.1.0.0/16,*").addresses("A") == ["10.0.0.1", "10.1.0.0/16", "*"]
    assert reader(A="https://x.example:8443").origins("A") == ["https://x.example:8443"]
    assert reader(A="*").origins("A", star=True) == ["*"]
    assert reader(A="rediss://:secret@h:1/0").redis("A") == "rediss://:secret@h:1/0"


def test_a_key_file_that_holds_no_key_names_its_setting(tmp_path: Path) -> None:
    file = tmp_path / "credentials.key"
    assert config.key_file(file) == file
    for rubbish in (b"", b"garbage", b"c2hvcnQ="):
        file.write_bytes(rubbish)
        with pytest.raises(ImproperlyConfigured, match=r"^DPL_CREDENTIALS_KEY_FILE: "):
            config.key_file(file)
    file.write_bytes(Fernet.generate_key() + b"\n" + Fernet.generate_key())
    assert config.key_file(file) == file


@pytest.mark.parametrize("text", ["70000", "-1", "x", "", "８０８０"])
def test_a_port_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="1 to 65535"):
        port_number(text)


@pytest.mark.parametrize("entry", ["192.168.1.0/24", "192.168.1.0/24=", "lan=lan", "192.168.1.5/24=lan"])
def test_a_network_without_a_key_or_a_key_without_a_network_is_named(entry: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"DPL_CIDR_KEYS.*192\.168\.1\.0/24=name"):
        reader(DPL_CIDR_KEYS=entry).keyed_networks("DPL_CIDR_KEYS")


def test_networks_have_keys_by_name() -> None:
    found = reader(DPL_CIDR_KEYS="192.168.1.0/24=lan, ::1/128=here").keyed_networks("DPL_CIDR_KEYS")
    assert found == [("192.168.1.0/24", "lan"), ("::1/128", "here")]


@pytest.mark.parametrize(
    "url", ["", "http://10.0.0.1:9090", "https://prometheus.lan/prefix", "http://u:p@[::1]:9090"]
)
def test_a_web_address_is_taken_as_it_is(url: str) -> None:
    assert reader(X=url).web_address("X") == url


@pytest.mark.parametrize(
    "url",
    ["10.0.0.1:9090", "ftp://a", "http://", "http://a:0", "http://a:b", "http://a?x=hunter2", "http://[a"],
)
def test_a_web_address_that_is_none_stops_the_start_without_showing_it(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="X: it is not the address of a server") as raised:
        reader(X=url).web_address("X")
    assert "hunter2" not in str(raised.value)
