"""`/api/debug/info` and `/api/debug/diagnosis`: what this installation is, and what is wrong with it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse

from accounts.http import methods, require
from dpl_site.lib.latest import Latest
from dpl_site.lib.refusals import Refused
from dpl_site.processes.diagnosis import diagnose
from dpl_site.processes.findings import ERROR, Finding
from dpl_site.processes.information import debug_info

REMEMBERED_S = 5.0
"""Examining a large installation costs some hundred milliseconds, and pages ask again and again."""
ANSWER_WITHIN_S = 15.0


@methods("GET")
@require("read")
async def info(request: HttpRequest) -> JsonResponse:
    """Versions, settings without secrets, processes, database, counts."""
    try:
        return JsonResponse(await _information.get())
    except TimeoutError as error:
        raise Refused(_too_slow().message, status=503) from error


@methods("GET")
@require("read")
async def diagnosis(request: HttpRequest) -> JsonResponse:
    """`{"ok", "findings": [{"severity", "subject", "message", "since", "what_to_do"}]}`; errors first."""
    try:
        found = await _findings.get()
    except TimeoutError:
        found = [_too_slow()]
    return JsonResponse(_report(found))


def _look() -> list[Finding]:
    return diagnose(is_thorough=False)


def _report(found: list[Finding]) -> dict[str, Any]:
    is_ok = not any(finding.severity == ERROR for finding in found)
    return {"ok": is_ok, "findings": [finding.view() for finding in found]}


def _too_slow() -> Finding:
    return Finding(
        ERROR,
        "database",
        f"The examination took longer than {ANSWER_WITHIN_S:g} s.",
        "Try `manage.py doctor`, and see what loads the database.",
    )


_findings = Latest(_look, remembered_s=REMEMBERED_S, within_s=ANSWER_WITHIN_S)
_information = Latest(debug_info, remembered_s=1.0, within_s=ANSWER_WITHIN_S)
