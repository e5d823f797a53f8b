"""What `manage.py check` finds wrong with an installation."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core import checks as django_checks
from django.core.checks import run_checks
from django.db import connection
from pytest_django import Settings

from dpl_site import checks


def ids(found: list[django_checks.CheckMessage]) -> set[str | None]:
    return {message.id for message in found}


@pytest.mark.urls("tests.site.urls")
def test_a_fresh_installation_is_found_in_order_until_it_is_not(settings: Settings) -> None:
    def ours() -> list[str]:
        return [message.id for message in run_checks() if message.id and message.id.startswith("dpl.")]

    settings.DPL_MIN_FREE_DISK_MB = 0
    assert ours() == []
    settings.DPL_MIN_FREE_DISK_MB = 10**9
    assert ours() == ["dpl.W006"]


def test_every_check_is_documented_by_its_id() -> None:
    for check in checks.CHECKS:
        assert check.startswith(("dpl.W", "dpl.E"))


def test_debug_is_told(settings: Settings) -> None:
    settings.DEBUG = True
    (found,) = checks.check_exposure()
    assert (found.id, found.level) == ("dpl.W001", django_checks.WARNING)
    assert "DPL_DEBUG" in str(found.hint)


def test_every_host_name_is_told_with_https_only(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    assert checks.check_exposure() == []
    settings.DPL_HTTPS = True
    assert ids(checks.check_exposure()) == {"dpl.W002"}
    settings.ALLOWED_HOSTS = ["dpl.example"]
    assert checks.check_exposure() == []


def test_open_cors_and_open_proxies_are_told(settings: Settings) -> None:
    settings.DPL_CORS_ORIGINS = ["*"]
    settings.DPL_TRUSTED_PROXIES = ["*"]
    assert ids(checks.check_exposure()) == {"dpl.W004", "dpl.W007"}


@pytest.mark.parametrize("name", ["secret_key", "credentials.key"])
def test_secrets_that_others_can_read_are_an_error(settings: Settings, tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o700)
    settings.DPL_DATA_DIR = tmp_path
    settings.DPL_CREDENTIALS_KEY_FILE = tmp_path / "credentials.key"
    assert checks.check_secrets() == []
    (tmp_path / name).touch(mode=0o600)
    assert checks.check_secrets() == []
    (tmp_path / name).chmod(0o640)
    (found,) = checks.check_secrets()
    assert (found.id, found.level) == ("dpl.E001", django_checks.ERROR)
    assert str(tmp_path / name) in found.msg
    assert found.hint == f"chmod 600 {tmp_path / name}"


def test_a_data_folder_that_others_can_read_is_told(settings: Settings, tmp_path: Path) -> None:
    settings.DPL_DATA_DIR = tmp_path
    tmp_path.chmod(0o755)
    assert ids(checks.check_secrets()) == {"dpl.W005"}


def test_too_little_free_space_is_told(settings: Settings) -> None:
    settings.DPL_MIN_FREE_DISK_MB = 0
    assert checks.check_storage() == []
    settings.DPL_MIN_FREE_DISK_MB = 10**9
    (found,) = checks.check_storage()
    assert found.id == "dpl.W006"
    assert " MB in " in found.msg


MOUNTS = [("/", "ext4"), ("/mnt/fast", "xfs"), ("/mnt", "nfs4"), ("/srv", "fuse.sshfs"), ("/mn", "cifs")]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/mnt/data/x", "nfs4"),
        ("/mnt/fast/x", "xfs"),
        ("/mntx", "ext4"),
        ("/srv/a/b", "fuse.sshfs"),
        ("/home", "ext4"),
    ],
)
def test_the_nearest_mount_tells_the_file_system(path: str, kind: str) -> None:
    assert checks.file_system_of(Path(path), MOUNTS) == kind


def test_nothing_is_known_without_a_mount_table() -> None:
    assert checks.file_system_of(Path("/x"), []) == ""


def test_this_machines_mount_table_can_be_read(tmp_path: Path) -> None:
    assert checks.file_system_of(tmp_path) not in checks.NETWORK_FILE_SYSTEMS


def test_sqlite_on_a_network_file_system_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("the check is about SQLite")
    monkeypatch.setattr(checks, "_mounts", lambda: iter([("/", "nfs4")]))
    (found,) = checks.check_storage()
    assert found.id == "dpl.W003"
    assert "(nfs4)" in found.msg or "nfs4" in found.msg


def test_pages_without_their_packages_are_told(settings: Settings, tmp_path: Path) -> None:
    settings.PAGES_PACKAGES = tmp_path
    (found,) = checks.check_pages()
    assert (found.id, found.hint) == ("dpl.W008", "Run make setup.")
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "tabler.css").touch()
    assert checks.check_pages() == []
