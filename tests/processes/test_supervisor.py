"""The supervisor, as a real process with real children."""

from __future__ import annotations

import http.server
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dpl_site.processes.children import Stream
from dpl_site.processes.output import LINE_LIMIT
from tests.processes.supervised import PYTHON, ROOT, Supervised, child, idle, is_alive, wait_until

Start = Callable[..., Supervised]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which this system has not")


def state(pid: int, name: str) -> int:
    """A number from /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


# --- Starting ---------------------------------------------------------------------------------------------


def test_it_prints_both_outputs_of_each_child_after_its_name(start: Start) -> None:
    supervised = start(
        child("web", "os.write(1, b'to out\\n'); os.write(2, b'to err\\n'); threading.Event().wait()"),
        idle("controller"),
    )
    supervised.wait_for(r"^web        \| to out$")
    supervised.wait_for(r"^web        \| to err$")


@contextmanager
def health(answers: list[int]) -> Iterator[str]:
    """An address that gives these answers one after another, the last one for ever."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/health"
        server.shutdown()
        thread.join()


def test_it_starts_a_rank_only_when_the_one_before_answers(start: Start) -> None:
    answers = [503, 503, 200]
    with health(answers) as url:
        supervised = start(idle("late", start_rank=1), idle("web", ready_url=url), banner=("URL: http://x",))
        supervised.wait_for("late started")
    assert answers == [200]
    web, late = (supervised.matches(f"{name} started")[0].string for name in ("web", "late"))
    assert supervised.lines.index(web) < supervised.lines.index(late)


def test_it_prints_the_banner_once_as_it_stands_when_all_are_ready(start: Start) -> None:
    supervised = start(idle("web"), idle("worker", start_rank=1), banner=("URL: http://x", "Login: a / b"))
    supervised.wait_for("^Login: a / b$")
    first = supervised.lines.index("URL: http://x")
    assert supervised.lines[first + 1] == "Login: a / b"
    assert "worker started" in supervised.lines[first - 1]
    os.kill(supervised.pid_of("worker"), signal.SIGKILL)
    supervised.pid_of("worker", 2)
    supervised.stop()
    assert supervised.lines.count("URL: http://x") == 1


def test_it_does_not_wait_for_ever_for_one_that_never_answers(start: Start) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/health"
        supervised = start(
            idle("web", ready_url=url, ready_timeout_s=0.5), idle("late", start_rank=1), banner=("URL: x",)
        )
        supervised.wait_for("web does not answer at .* after 0.5 s. The others are started all the same")
        supervised.wait_for("late started")
        assert supervised.stop() == 0
    assert "URL: x" not in supervised.lines


def test_it_gives_each_child_a_session_of_its_own_and_nothing_to_read(start: Start) -> None:
    look = "say(os.getsid(0) == os.getpid(), os.fstat(0).st_rdev == os.stat(os.devnull).st_rdev)\n"
    supervised = start(child("web", look + "threading.Event().wait()"))
    supervised.wait_for(r"\| True True$")


# --- Restarts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 78])
def test_it_restarts_what_ends_whatever_the_exit_code(start: Start, code: int) -> None:
    supervised = start(child("web", f"os._exit({code})"), idle("worker"))
    supervised.wait_for(rf"web ended with exit code {code} after \d\.\d s; it starts again in 0.2 s")
    supervised.wait_for(rf"web ended with exit code {code} after \d\.\d s; it starts again in 0.4 s")
    assert supervised.stop() == 0


def test_it_restarts_what_is_killed_and_says_by_what(start: Start) -> None:
    supervised = start(idle("web"))
    os.kill(supervised.pid_of("web"), signal.SIGKILL)
    supervised.wait_for(r"web ended by SIGKILL after \d+\.\d s; it starts again in 0.2 s")
    assert is_alive(supervised.pid_of("web", 2))


def test_it_kills_what_a_dead_child_leaves_in_its_group(start: Start) -> None:
    supervised = start(child("web", "say('left', os.fork() or os.getpid()); threading.Event().wait()"))
    supervised.wait_for(r"left \d+", 2)
    pids = {int(match.group(1)) for match in supervised.matches(r"left (\d+)")}
    os.kill(supervised.pid_of("web"), signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_it_goes_on_trying_what_cannot_be_started(start: Start) -> None:
    supervised = start({"name": "web", "argv": ["/nowhere/at/all"]}, idle("worker"))
    supervised.wait_for(r"web cannot be started \(.*No such file.*\); it starts again in 0.2 s")
    supervised.wait_for("it starts again in 0.4 s")
    assert supervised.stop() == 0


@pytest.mark.slow
def test_it_stops_all_in_order_when_a_configuration_stays_wrong(start: Start) -> None:
    told = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: (say('told'), os._exit(0)))\n"
    supervised = start(
        child("first", told + "threading.Event().wait()"),
        {"name": "web", "argv": ["/bin/sh", "-c", "exit 78"]},
        child("second", told + "threading.Event().wait()", stop_rank=1),
    )
    assert supervised.end(30) == 78
    assert len(supervised.matches("web started")) == 5
    supervised.wait_for("exit code 78 after .*, again: its configuration is wrong. Stopping all.")
    told_first, told_second = supervised.wait_for(r"^first .*told"), supervised.wait_for(r"^second .*told")
    assert supervised.lines.index(told_first.string) < supervised.lines.index(told_second.string)


@LINUX
def test_it_keeps_no_descriptor_of_what_has_ended(start: Start) -> None:
    supervised = start(idle("web"), idle("worker"))
    supervised.pid_of("worker")
    folder = f"/proc/{supervised.process.pid}/fd"
    supervised.pid_of("web")
    before = len(os.listdir(folder))
    for number in (1, 2):
        os.kill(supervised.pid_of("web", number), signal.SIGKILL)
        supervised.pid_of("web", number + 1)
    wait_until(lambda: len(os.listdir(folder)) == before)


# --- Stopping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_stops_all_in_order_of_their_stop_rank(start: Start, number: signal.Signals) -> None:
    slow = "import signal,time\nsignal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.1), os._exit(0)))\n"
    wait = slow + "say('up'); threading.Event().wait()"
    supervised = start(
        child("web", wait, stop_rank=2), child("worker", wait), child("agent", wait, stop_rank=1)
    )
    supervised.wait_for(r"\| up$", 3)
    supervised.signal(number)
    assert supervised.end() == 0
    ends = [match.group(1) for match in supervised.matches(r"(\w+) ended with exit code 0\.$")]
    assert ends == ["worker", "agent", "web"]
    assert supervised.lines[-1].endswith("All stopped.")


def test_it_kills_the_whole_group_when_the_grace_is_over(start: Start) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.fork()\nsay('is', os.getpid())\n"
    supervised = start(child("web", deaf + "threading.Event().wait()", grace_s=0.3))
    supervised.wait_for(r"is \d+", 2)
    pids = [int(match.group(1)) for match in supervised.matches(r"is (\d+)")]
    assert supervised.stop() == 0
    supervised.wait_for("web did not end within 0.3 s; it is killed")
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_it_kills_at_once_on_a_second_signal(start: Start) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay('up'); threading.Event().wait()"
    supervised = start(child("web", deaf, grace_s=60), child("agent", deaf, grace_s=60, stop_rank=1))
    supervised.wait_for(r"\| up$", 2)
    supervised.signal(signal.SIGINT)
    supervised.wait_for("SIGINT: stopping all")
    supervised.signal(signal.SIGTERM)  # the terminal's and make's: one wish
    time.sleep(0.6)
    assert supervised.process.poll() is None
    supervised.signal(signal.SIGINT)
    assert supervised.end(5) == 0
    assert len(supervised.matches(r"(web|agent) ended by SIGKILL")) == 2


def test_its_children_end_by_themselves_when_it_is_killed(start: Start) -> None:
    fork = "from dpl_site.lib.parent import parent_is_lost\nimport time\n"
    fork += "if os.fork() == 0:\n    os.setsid()\n    say('is', os.getpid(), parent_is_lost())\n"
    fork += "    while not parent_is_lost(): time.sleep(0.02)\n    os._exit(0)\n"
    supervised = start(child("web", fork + "threading.Event().wait()"), idle("worker"))
    grandchild = int(supervised.wait_for(r"is (\d+) False").group(1))
    pids = [supervised.pid_of("web"), supervised.pid_of("worker"), grandchild]
    assert all(is_alive(pid) for pid in pids)
    supervised.signal(signal.SIGKILL)
    supervised.process.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


# --- What it prints ---------------------------------------------------------------------------------------


def test_it_passes_lines_through_as_they_are_in_json(start: Start) -> None:
    supervised = start(
        child("web", "say('{\"a\": 1}'); threading.Event().wait()"), env={"DPL_LOG_FORMAT": "json"}
    )
    supervised.wait_for(r'^\{"a": 1\}$')
    assert supervised.stop() == 0
    own = [json.loads(line) for line in supervised.lines]
    assert {"child": "web", "pid": supervised.pid_of("web")}.items() <= own[0].items()
    assert {"levelname", "name", "message", "process"} <= own[0].keys()


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({"TERM": "xterm"}, b"\x1b[36mweb | \x1b[0mhello"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, b"web | hello"),
        ({"TERM": "dumb"}, b"web | hello"),
    ],
)
def test_it_colours_names_on_a_terminal_unless_told_not_to(
    start: Start, env: dict[str, str], wanted: bytes
) -> None:
    primary, terminal = pty.openpty()
    hello = child("web", "say('hello'); threading.Event().wait()", colour="cyan")
    start(hello, is_read=False, stdout=terminal, env={"NO_COLOR": ""} | env)
    os.close(terminal)
    printed = b""
    while b"hello" not in printed:
        printed += os.read(primary, 4096)
    os.close(primary)
    assert wanted in printed.splitlines()


def test_it_cuts_lines_without_end_and_prints_last_words_without_newline(start: Start) -> None:
    supervised = start(child("web", f"say('x' * {LINE_LIMIT + 7}); os.write(1, b'last words'); os._exit(9)"))
    supervised.wait_for(r"^web \| x+ … 7 bytes cut$")
    last = supervised.wait_for(r"^web \| last words$")
    end = supervised.wait_for("web ended with exit code 9")
    assert supervised.lines.index(last.string) < supervised.lines.index(end.string)


def test_it_takes_the_last_words_at_the_end_and_waits_for_no_grandchild() -> None:
    taken: list[str] = []
    read, write = os.pipe()
    stream = Stream(read, taken.append)
    os.write(write, b"first\nlast words")
    stream.end(5.0)
    assert (taken, stream.close_at) == (["first"], 5.0)
    stream.close()
    assert taken == ["first", "last words"]
    os.close(write)


def test_it_lets_no_child_wait_for_a_terminal_that_stands_still(start: Start, tmp_path: Path) -> None:
    mark = tmp_path / "written"
    flood = f"for i in range(60000): say('line', i, 'x' * 60)\nopen({str(mark)!r}, 'w')\n"
    supervised = start(child("web", flood + "threading.Event().wait()"), is_read=False)
    wait_until(mark.exists, 30)
    supervised.read()
    supervised.wait_for(r"… \d+ lines dropped$")

    def accounted() -> int:
        dropped = sum(int(match.group(1)) for match in supervised.matches(r"… (\d+) lines dropped$"))
        return dropped + len(supervised.matches(r"\| line \d+ x+$"))

    wait_until(lambda: accounted() == 60000)
    assert supervised.stop() == 0


def test_it_goes_on_when_nobody_reads_it_any_more(start: Start) -> None:
    supervised = start(idle("worker"), child("web", "say('x'); os._exit(1)"), is_read=False)
    assert supervised.process.stdout
    supervised.process.stdout.read(100)
    supervised.process.stdout.close()
    time.sleep(0.5)
    assert supervised.process.poll() is None
    assert supervised.stop() == 0


# --- What it costs, and how it is started ------------------------------------------------------------------


@pytest.mark.slow
@LINUX
def test_it_is_small_and_sleeps_when_all_is_well(start: Start) -> None:
    supervised = start(*(idle(name) for name in ("web", "controller", "worker", "agent")))
    supervised.pid_of("agent")
    pid = supervised.process.pid
    time.sleep(0.5)
    before = state(pid, "voluntary_ctxt_switches")
    time.sleep(1)
    assert state(pid, "voluntary_ctxt_switches") - before <= 1
    assert state(pid, "VmRSS") <= 14 * 1024


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, dpl_site.processes.supervisor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"django", "asyncio", "dataclasses", "tempfile", "http", "ssl"} & set(done.stdout.split())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"children": [{"name": "web"}]}', '{"children": []}'])
def test_it_refuses_a_spec_that_it_cannot_use(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(text)
    command = [sys.executable, "-m", "dpl_site.processes.supervisor", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 78
    assert done.stderr.startswith("supervisor: the spec ")


def test_a_process_becomes_the_supervisor_of_what_it_prepared(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from dpl_site.processes.launch import launch\n"
        "from dpl_site.processes.spec import Child, Spec\n"
        "import os; os.environ['DPL_PROCESS'] = 'up'\n"
        'show = \'import os; print(os.getcwd(), os.environ.get("DPL_PROCESS"), os.environ["MORE"])\'\n'
        f"web = Child('web', ({PYTHON[0]!r}, '-S', '-u', '-c', show), {{'MORE': 'yes'}})\n"
        "launch(Spec((web,), ('Login: x',)))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        wanted = {"Login: x", f"web | {tmp_path} None yes"}
        for line in process.stdout:
            wanted.discard(line.rstrip("\n"))
            if not wanted:
                break
        process.terminate()
        assert process.wait(10) == 0
