"""A job attended from a terminal: what is shown, what Ctrl+C does, what is written, with which exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from rich.console import Console

from accounts.models import User
from datasets import attendance
from datasets.attendance import Attendance, form_of, write_result
from datasets.claims import claim_shard, give_back
from datasets.models import Job, Upload
from datasets.options import JobOptions
from datasets.screen import LiveScreen, PlainScreen, duration, screen_for, summary
from datasets.services import job_stop
from datasets.states import ItemState, JobState
from tests.datasets.making import a_job, an_engine, an_instance, an_uploaded_job, rows
from tests.datasets.test_export import answered
from tests.datasets.test_services import work

pytestmark = pytest.mark.django_db(transaction=True)

S, F = ItemState.SUCCEEDED, ItemState.FAILED


class Stage:
    """A screen that plays one scene at each look at the job, and keeps what was said."""

    def __init__(self, *scenes: Callable[[], object]) -> None:
        self.scenes: Iterator[Callable[[], object]] = iter(scenes)
        self.said: list[str] = []
        self.shown: list[str] = []

    def show(self, status: Mapping[str, Any]) -> None:
        self.shown.append(status["status"])
        next(self.scenes, lambda: None)()

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def close(self) -> None:
        """Nothing to do."""


def work_all(*states: ItemState) -> Callable[[], None]:
    """A scene: a worker works through every shard; `states` come of its items in turn."""

    def scene() -> None:
        while (claim := claim_shard(instance_id=an_instance().id)) is not None:
            work(claim, *(states[item.index % len(states)] for item in claim.work))

    return scene


def press() -> None:
    """A scene: Ctrl+C."""
    signal.raise_signal(signal.SIGINT)


def attend(job: Job, out: Path, *scenes: Callable[[], object]) -> tuple[int, Stage]:
    stage = Stage(*scenes)
    return Attendance(job_id=job.id, out=out, form=form_of(out), screen=stage, poll_s=0.001).run(), stage


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.json"


@pytest.fixture
def worker() -> None:
    """An installation that works."""
    an_instance("worker")


def test_it_attends_a_job_to_its_end_and_writes_the_result(out: Path, worker: None) -> None:
    job = a_job(20)
    code, stage = attend(job, out, work_all(S))

    assert code == 0
    assert [row["id"] for row in json.loads(out.read_text())] == list(range(20))
    assert stage.shown == ["queued", "completed"]
    assert "20 succeeded, 0 failed" in stage.said[-1]
    assert os.listdir(out.parent) == ["out.json"]


def test_it_tells_of_failed_items_by_its_exit_code_and_says_how_to_retry(
    tmp_path: Path, worker: None
) -> None:
    job = a_job(20)
    code, stage = attend(job, tmp_path / "out.jsonl", work_all(S, F))

    assert code == 3
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["model_output"].get("code") for line in lines[:2]] == [None, "timeout"]
    assert f"run --resume {job.id}" in stage.said[-1]
    assert stage.said[-1].endswith("--retry-failed")


def test_it_tells_of_a_job_that_could_not_run(out: Path, worker: None) -> None:
    job = a_job(3)
    reason = {"state": JobState.FAILED, "error": "no engine has the model"}
    code, stage = attend(job, out, lambda: Job.objects.update(**reason))

    assert code == 4
    assert "The job could not run: no engine has the model" in stage.said
    assert [row["model_output"] for row in json.loads(out.read_text())] == [None, None, None]


def test_ctrl_c_once_lets_what_runs_finish(out: Path, worker: None) -> None:
    job = a_job(20)
    drain = an_instance()
    claim = claim_shard(instance_id=drain.id)
    assert claim is not None

    def finish() -> None:
        assert Job.objects.get().stop_mode == "drain"
        work(claim, S)
        give_back(shard_id=claim.shard_id, token=claim.token)
        job_stop(job_id=job.id)
        Job.objects.filter(state=JobState.STOPPING).update(state=JobState.STOPPED)

    code, stage = attend(job, out, press, finish)

    assert code == 130
    assert stage.said[0] == "Stopping: what runs may finish. Ctrl+C again cuts it."
    assert "19 rows are not done yet: their model_output is null." in stage.said
    assert f"To go on: python manage.py run --resume {job.id} -o {out}" in stage.said
    assert [row["model_output"] is None for row in json.loads(out.read_text())] == [False] + [True] * 19


def test_ctrl_c_twice_cuts_it(out: Path, worker: None) -> None:
    job = a_job(20)
    claim = claim_shard(instance_id=an_instance().id)
    assert claim is not None
    modes: list[str] = []

    def cut() -> None:
        modes.append(Job.objects.get().stop_mode)
        give_back(shard_id=claim.shard_id, token=claim.token)
        Job.objects.update(state=JobState.STOPPED)

    code, stage = attend(job, out, press, press, lambda: None, cut)

    assert (code, modes) == (130, ["abort"])
    assert stage.said[1].startswith("Stopping now")


def test_ctrl_c_a_third_time_leaves_the_job_alone(out: Path, worker: None) -> None:
    job = a_job(20)
    claim_shard(instance_id=an_instance().id)

    with pytest.raises(KeyboardInterrupt):
        attend(job, out, press, press, press)

    assert Job.objects.get().state == JobState.STOPPING
    assert not out.exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_says_what_is_missing_when_it_was_stopped_while_importing(out: Path, worker: None) -> None:
    job = an_uploaded_job(rows(5))
    code, stage = attend(job, out, press)

    assert code == 130
    assert "5 rows of the file were not imported yet and are missing." in stage.said
    assert json.loads(out.read_text()) == []


def test_it_says_once_that_no_worker_lives_any_more(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendance, "LONELY_S", 0.01)
    job = a_job(3)
    _, stage = attend(job, out, *[lambda: time.sleep(0.02)] * 3, work_all(S))

    assert sum("No worker is running" in sentence for sentence in stage.said) == 1


def test_a_result_that_cannot_be_written_whole_leaves_the_old_one(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.write_text("old")

    def broken(**_: object) -> Iterator[bytes]:
        yield b"[\n"
        raise OSError("disk full")

    monkeypatch.setattr(attendance, "whole", broken)
    with pytest.raises(OSError, match="disk full"):
        write_result(job_id="x", out=out, form="json")

    assert out.read_text() == "old"
    assert os.listdir(out.parent) == ["out.json"]


@pytest.mark.parametrize(
    ("name", "form"), [("a.json", "json"), ("a.JSONL", "jsonl"), ("a.ndjson", "jsonl"), ("a", "json")]
)
def test_the_files_name_asks_for_a_form(name: str, form: str) -> None:
    assert form_of(Path(name)) == form


def run(*words: str) -> tuple[int, Job]:
    """`manage.py run …` on a job whose work is done by the time it is attended."""
    with pytest.raises(SystemExit) as ended:
        call_command("run", *words)
    assert isinstance(ended.value.code, int)
    return ended.value.code, Job.objects.latest("id")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is uploaded is imported and worked through before it is first looked at."""
    from datasets.importing import claim_import, import_all

    real = Attendance.run

    def worked(self: Attendance) -> int:
        for job in Job.objects.all():
            claimed = claim_import(job_id=job.id, instance_id=an_instance("import").id)
            if claimed is not None:
                import_all(job=claimed, is_lost=lambda: False)
        work_all(S)()
        return real(self)

    monkeypatch.setattr(Attendance, "run", worked)


def test_the_command_runs_a_file(
    tmp_path: Path, people: dict[str, User], worker: None, at_once: None
) -> None:
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text("\n".join(rows(30)))
    node = an_engine("fast").node
    flags = ["--model", "m", "--system", "Be brief.", "--limit", "20", "--attempts", "2", "--timeout", "9"]
    more = ["--node", "fast", "--exclusive", "--option", "temperature=0.2", "--option", "stop=END"]
    code, job = run(str(file), "-o", str(out), *flags, *more)

    assert code == 0
    assert len(out.read_text().splitlines()) == 20
    assert (job.owner.username, job.name) == ("ada", "in.jsonl")
    assert JobOptions.from_json(job.options) == JobOptions(
        "m", 20, "Be brief.", {"temperature": 0.2, "stop": "END"}, 2, 9.0, (node.id,), True
    )


def test_the_command_attends_a_job_again(
    tmp_path: Path, people: dict[str, User], worker: None, at_once: None
) -> None:
    job = a_job(5)
    job_stop(job_id=job.id)
    out = tmp_path / "out.json"

    assert run("--resume", job.id, "-o", str(out), "--jsonl")[0] == 0
    assert len(out.read_text().splitlines()) == 5
    assert run("--resume", job.id, "-o", str(out))[0] == 0
    assert len(json.loads(out.read_text())) == 5


def test_the_command_runs_failed_items_again(
    tmp_path: Path, people: dict[str, User], worker: None, at_once: None
) -> None:
    job = a_job(4)
    work_all(S, F)()

    assert run("--resume", job.id, "-o", str(tmp_path / "out.json"), "--retry-failed")[0] == 0


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        ('[{"instruction": 7}]', [], "Row 0: instruction is a number"),
        ("[]", [], "The array is empty"),
        (None, [], "No such file"),
        ('[{"instruction": "a"}]', ["--limit", "none"], "limit"),
        ('[{"instruction": "a"}]', ["--option", "hot"], "name=value"),
        ('[{"instruction": "a"}]', ["--option", "temperature=hot"], "temperature"),
        ('[{"instruction": "a"}]', ["--node", "moon"], "no node of this name"),
        ('[{"instruction": "a"}]', ["--node", "99"], "There is no node 99"),
        ('[{"instruction": "a"}]', ["--user", "nobody"], "no active user"),
        ('[{"instruction": "a"}]', ["--retry-failed"], "--resume"),
    ],
)
def test_the_command_says_what_is_wrong_and_leaves_nothing_behind(
    tmp_path: Path, people: dict[str, User], worker: None, content: str | None, words: list[str], said: str
) -> None:
    file = tmp_path / "in.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CommandError, match=said):
        call_command("run", str(file), "-o", str(tmp_path / "out.json"), *words)

    assert not Job.objects.exists()
    assert not Upload.objects.exists()


def test_the_command_wants_a_file_or_a_job_and_a_place_for_the_result(
    tmp_path: Path, people: dict[str, User], worker: None
) -> None:
    file = tmp_path / "in.json"
    file.write_text('[{"instruction": "a"}]')
    for words, said in (
        (["-o", str(tmp_path / "out.json")], "Name the dataset"),
        ([str(file), "-o", str(tmp_path)], "this is a folder"),
        ([str(file), "-o", str(tmp_path / "no" / "out.json")], "its folder is not there"),
        ([str(file), "-o", str(file)], "the dataset itself"),
        (["--resume", "nope", "-o", str(tmp_path / "out.json")], "There is no job 'nope'"),
    ):
        with pytest.raises(CommandError, match=said):
            call_command("run", *words)


def test_the_command_says_how_to_start_an_installation(tmp_path: Path, people: dict[str, User]) -> None:
    file = tmp_path / "in.json"
    file.write_text('[{"instruction": "a"}]')
    with pytest.raises(CommandError, match=r"python manage\.py up"):
        call_command("run", str(file), "-o", str(tmp_path / "out.json"))

    assert not Job.objects.exists()


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the child finds the test's database by its file")
def test_ctrl_c_reaches_the_command_and_its_exit_code_the_shell(
    tmp_path: Path, people: dict[str, User], worker: None
) -> None:
    file, out = tmp_path / "in.json", tmp_path / "out.json"
    file.write_text('[{"instruction": "a"}]')
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}"}
    command = [sys.executable, "manage.py", "run", str(file), "-o", str(out)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        line = child.stderr.readline()
        while "importing" not in line:
            assert line, "it ended before it began"
            line = child.stderr.readline()
        child.send_signal(signal.SIGINT)
        said = child.stderr.read()
        code = child.wait(timeout=20)

    assert code == 130
    assert "Stopping: what runs may finish." in said
    assert f"--resume {Job.objects.get().id}" in said
    assert json.loads(out.read_text()) == []


def test_cleanup_says_what_it_freed(people: dict[str, User]) -> None:
    a_job(3)
    text = StringIO()
    call_command("cleanup", stdout=text)

    assert text.getvalue() == "1 jobs aborted, 0 leases and 0 locks of jobs freed.\n"
    assert Job.objects.get().state == JobState.STOPPED


def a_status(**changes: Any) -> dict[str, Any]:
    node = {"name": "fast", "succeeded": 3, "failed": 0, "running": 1, "share": 1.0, "tokens_per_second": 9.5}
    status = {
        "name": "[bold]poems",
        "status": "running",
        "total": 10,
        "done": 4,
        "failed": 1,
        "running": 1,
        "progress": 0.4,
        "importing": None,
        "rate_per_s": 2.0,
        "tokens_per_second": 33.3,
        "eta_s": 200.0,
        "nodes": [node | {"p50_s": 0.5, "p95_s": None, "idle_s": 0.0}],
    }
    return status | changes


def test_plain_lines_come_now_and_then_and_when_the_state_changes() -> None:
    text, now = StringIO(), 0.0
    screen = PlainScreen(Console(file=text, width=200), clock=lambda: now)
    for second in range(12):
        now = float(second)
        screen.show(a_status(status="completed" if second > 10 else "running"))

    assert text.getvalue().splitlines() == [
        "running: 4/10 (40.0%), 1 failed, 1 running, 2.00 items/s, 33 tokens/s, 3m 20s left",
        "running: 4/10 (40.0%), 1 failed, 1 running, 2.00 items/s, 33 tokens/s, 3m 20s left",
        "running: 4/10 (40.0%), 1 failed, 1 running, 2.00 items/s, 33 tokens/s, 3m 20s left",
        "completed: 4/10 (40.0%), 1 failed, 1 running, 2.00 items/s, 33 tokens/s, 3m 20s left",
    ]


def test_a_terminal_gets_a_live_bar_with_a_line_for_each_node() -> None:
    text = StringIO()
    console = Console(file=text, width=200, force_terminal=True, color_system=None)
    screen = screen_for(console)
    assert isinstance(screen, LiveScreen)
    screen.show(a_status())
    screen.say("[red]a sentence")
    screen.close()

    shown = text.getvalue()
    assert "4/10 (40.0%)" in shown
    assert "[bold]poems" in shown
    assert "[red]a sentence" in shown
    assert "fast" in shown
    assert isinstance(screen_for(Console(file=StringIO())), PlainScreen)


def test_the_summary_tells_of_importing_and_leaves_out_what_is_nothing() -> None:
    importing = {"imported": 3, "total": 10}
    status = a_status(importing=importing, failed=0, running=0, eta_s=None)

    assert summary(status) == "4/10 (40.0%), 3 rows imported, 2.00 items/s, 33 tokens/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59, "59s"), (60, "1m 00s"), (200, "3m 20s"), (3900, "1h 05m"), (90000, "1d 01h")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_who_reads_the_old_result_meanwhile_reads_it_to_its_end(out: Path) -> None:
    out.write_text("old")
    with out.open() as reader:
        write_result(job_id=a_job(1).id, out=out, form="json")

        assert reader.read() == "old"


def test_an_unfinished_jobs_result_can_be_written_too(out: Path) -> None:
    job = answered(5, undone=[4])
    write_result(job_id=job.id, out=out, form="json")

    assert [row["model_output"] is None for row in json.loads(out.read_text())] == [False] * 4 + [True]
