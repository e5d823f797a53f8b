"""`manage.py run FILE --model M -o OUT`: a dataset through a running installation, attended from the terminal."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console

from accounts.authentication import role_of_user
from accounts.models import User
from accounts.roles import ADMIN
from datasets.attendance import Attendance, form_of
from datasets.models import Job
from datasets.moves import job_by_id
from datasets.screen import screen_for
from datasets.services import job_resume, job_retry_failed, upload_from_chunks
from datasets.states import JobState
from dpl_site.lib.commands import InstallationCommand
from dpl_site.lib.refusals import Refused
from nodes.instances import alive
from nodes.models import Node

CHUNK = 1 << 20
INTERRUPTED = 130
EXIT_CODES = """exit codes:
  0    every item succeeded
  1    nothing was started: a bad file or option, or no installation runs
  3    the job is complete, some items failed
  4    the job itself could not run
  130  stopped; the result so far is written, and the command that goes on is printed

Ctrl+C once lets what runs finish, twice cuts it, a third time leaves the job to itself.
"""


class Command(InstallationCommand):
    """Parses flags, makes or finds the job, attends it, and ends with its exit code."""

    help = "Run a dataset (JSON array or JSONL) through this installation and write the result."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """With the exit codes below the flags."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.epilog = EXIT_CODES
        parser.formatter_class = RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to run, how, and where the result goes."""
        add = parser.add_argument
        add("file", nargs="?", type=Path, metavar="FILE", help="The dataset; not with --resume.")
        add("-o", "--out", type=Path, required=True, help="Where the result goes, written whole at the end.")
        add("-m", "--model", default="", help="By default whatever is resident.")
        add("--name", default="", help="The job's name; by default the file's.")
        add("--system", default="", help="A system prompt for rows that have none.")
        add("--limit", default="", metavar="N", help="Only the first N rows.")
        add("--attempts", default="", metavar="N", help="Tries of an item that fails by its own fault.")
        add("--timeout", default="", metavar="SECONDS", help="For each try of an item.")
        add("--node", action="append", default=[], help="Only this node (id or name); may be repeated.")
        add("--exclusive", action="store_true", help="Lock nodes for this job while it runs.")
        add("--option", action="append", default=[], metavar="K=V", help="Sampling, such as temperature=0.2.")
        add("--user", default="", help="Whose job it is; by default the first admin's.")
        forms = parser.add_mutually_exclusive_group()
        forms.add_argument("--json", dest="form", action="store_const", const="json", help="A JSON array.")
        forms.add_argument(
            "--jsonl", dest="form", action="store_const", const="jsonl", help="One row per line."
        )
        add("--resume", metavar="JOB_ID", help="Attend this job again, and go on with it where it stopped.")
        add("--retry-failed", action="store_true", help="With --resume: run failed items again.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make or find the job and attend it."""
        out: Path = options["out"]
        console = Console(stderr=True)
        try:
            _check_out(out, options["file"])
            job = self._job(options)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        except KeyboardInterrupt:
            raise CommandError("Interrupted; nothing was started.", returncode=INTERRUPTED) from None
        screen = screen_for(console)
        screen.say(f"Job {job.id} ({job.name}), {job.total} rows.")
        form = options["form"] or form_of(out)
        try:
            code = Attendance(job_id=job.id, out=out, form=form, screen=screen).run()
        except KeyboardInterrupt:
            screen.say(f"Left alone. To attend it again: python manage.py run --resume {job.id} -o {out}")
            code = INTERRUPTED
        finally:
            screen.close()
        sys.exit(code)

    def _job(self, options: dict[str, Any]) -> Job:
        if options["resume"]:
            return _resumed(options["resume"], with_failed=options["retry_failed"])
        if options["file"] is None:
            raise CommandError(
                "Name the dataset: manage.py run FILE -o OUT. Or go on with a job: --resume JOB_ID."
            )
        if options["retry_failed"]:
            raise CommandError("--retry-failed needs --resume JOB_ID.")
        _check_workers()
        owner, fields = _owner(options["user"]), _fields(options)
        chunks = _chunks(options["file"])
        return upload_from_chunks(owner=owner, chunks=chunks, fields=fields, filename=options["file"].name)


def _resumed(job_id: str, *, with_failed: bool) -> Job:
    """The job, going on unless it is complete; one that is complete is only written out again."""
    job = job_by_id(job_id)
    if with_failed:
        _check_workers()
        return job_retry_failed(job_id=job_id)
    if job.state == JobState.COMPLETED:
        return job
    _check_workers()
    return job_resume(job_id=job_id)


def _check_workers() -> None:
    if not alive().filter(kind="worker").exists():
        message = "No worker of this installation is running, so nothing would be done. Start it: python manage.py up"
        raise CommandError(message)


def _check_out(out: Path, file: Path | None) -> None:
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise CommandError(f"-o {out}: this is a folder, or its folder is not there. Name a file.")
    if file is not None and out.resolve() == file.resolve():
        raise CommandError(f"-o {out}: this is the dataset itself. Name another file.")


def _owner(username: str) -> User:
    """The person whose job it is."""
    if username:
        named = User.objects.filter(username=username, is_active=True).first()
        if named is None:
            raise CommandError(f"There is no active user {username!r}.")
        return named
    people = User.objects.filter(is_active=True).order_by("id")
    admin = next((person for person in people if role_of_user(person) == ADMIN), None)
    if admin is None:
        raise CommandError(
            "There is no admin yet. `python manage.py up` makes one; or name a person with --user."
        )
    return admin


def _fields(options: dict[str, Any]) -> dict[str, str]:
    """The flags as the fields of an upload's form, so that both are read by one reader."""
    sampling = dict(_sampling(pair) for pair in options["option"])
    return {
        "name": options["name"],
        "model": options["model"],
        "system": options["system"],
        "limit": options["limit"],
        "attempts": options["attempts"],
        "timeout_s": options["timeout"],
        "nodes": ",".join(_node(word) for word in options["node"]),
        "exclusive": "true" if options["exclusive"] else "",
        "options": json.dumps(sampling) if sampling else "",
    }


def _sampling(pair: str) -> tuple[str, Any]:
    """`temperature=0.2` as a name and a JSON value; what is no JSON is a text."""
    name, equals, value = pair.partition("=")
    if not name or not equals:
        raise CommandError(f"--option {pair}: write it as name=value.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _node(word: str) -> str:
    """A node's id, found by its name where it is no number."""
    if word.isdecimal():
        return word
    node = Node.objects.filter(name=word, archived_at__isnull=True).first()
    if node is None:
        raise CommandError(f"--node {word}: there is no node of this name. `manage.py node list` shows them.")
    return str(node.pk)


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
