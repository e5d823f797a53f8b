"""Whether the tables are those of this release."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from dpl_site.processes import schema
from dpl_site.processes.refusal import CannotStart
from dpl_site.processes.schema import migrate_once, read_schema, require_schema, try_flock

pytestmark = pytest.mark.django_db


def test_a_migrated_database_is_ours() -> None:
    assert read_schema().is_ours
    assert read_schema().problem == ""
    require_schema()
    assert not migrate_once(print)


def test_a_migration_that_is_missing_is_named_with_what_to_do() -> None:
    MigrationRecorder(connection).record_unapplied("nodes", "0001_initial")
    assert read_schema().unapplied == ("nodes.0001_initial",)
    with pytest.raises(CannotStart, match=r"nodes\.0001_initial is missing.*manage\.py up"):
        require_schema()


def test_a_database_of_a_newer_release_is_refused_and_left_alone() -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_applied("nodes", "0999_from_the_future")
    recorder.record_unapplied("nodes", "0001_initial")
    with pytest.raises(CannotStart, match=r"nodes\.0999_from_the_future.*newer release") as refused:
        require_schema()
    assert refused.value.returncode == 78
    with pytest.raises(CannotStart, match="newer release"):
        migrate_once(print)
    assert "nodes.0001_initial" in read_schema().unapplied


def test_an_empty_database_has_everything_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.introspection, "table_names", lambda cursor=None: [])
    assert len(read_schema().unapplied) > 30
    assert "and" in read_schema().problem


def test_migrations_are_told_apart_from_other_files() -> None:
    assert not any(name.rsplit(".", 1)[1].startswith(("_", "~")) for name in schema._known())


def _holds(path: str, taken: object, may_end: object) -> None:
    with Path(path).open("w") as file:
        assert try_flock(file)
        taken.set()  # type: ignore[attr-defined]  # an event of multiprocessing
        may_end.wait()  # type: ignore[attr-defined]  # the same


def test_one_process_migrates_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    taken, may_end = context.Event(), context.Event()
    path = tmp_path / "db.migrating"
    other = context.Process(target=_holds, args=(str(path), taken, may_end))
    other.start()
    taken.wait(20)
    with path.open("w") as file:
        assert not try_flock(file)
        other.kill()
        other.join()
        assert try_flock(file)
