"""A vendor's program: its words, its failures, its silence and its floods."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.gpus import GpuAbsentError, GpuUnavailableError
from agent.gpus.commands import MAX_OUTPUT, run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs of these tests are shell scripts")


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "vendor-smi"


def write(tool: Path, script: str) -> None:
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def test_it_gives_what_the_program_prints_in_the_c_locale(
    tool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    write(tool, 'echo "$1 $LC_ALL"; printf "\\377"; echo trouble >&2')
    assert run(["vendor-smi", "info"]) == "info C\n\ufffdtrouble\n"


def test_a_program_that_is_not_there_is_absent() -> None:
    with pytest.raises(GpuAbsentError, match="no program vendor-smi-that-nobody-has"):
        run(["vendor-smi-that-nobody-has"])


def test_a_program_that_fails_is_quoted(tool: Path) -> None:
    write(tool, "echo; echo dcmi init failed; exit 3")
    with pytest.raises(GpuUnavailableError, match="vendor-smi fails with code 3: dcmi init failed"):
        run(["vendor-smi"])


def test_a_program_that_hangs_is_killed_with_all_that_it_started(tool: Path) -> None:
    write(tool, "sleep 60; echo late")
    with pytest.raises(GpuUnavailableError, match="has not answered within 0 s"):
        run(["vendor-smi"], timeout_s=0.2)


def test_a_program_that_prints_without_end_is_cut(tool: Path) -> None:
    write(
        tool, "while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done"
    )
    assert len(run(["vendor-smi"])) == MAX_OUTPUT


def test_a_file_that_is_no_program_is_said(tool: Path) -> None:
    tool.write_bytes(b"\x7fELF nonsense")
    tool.chmod(0o755)
    with pytest.raises(GpuUnavailableError, match="cannot be run"):
        run(["vendor-smi"])
