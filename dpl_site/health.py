"""Whether this process lives, and whether the installation can serve: /health and /ready, open and quick."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from dpl_site.lib.latest import Latest
from dpl_site.processes.serving import Readiness, database_away, read_readiness

ANSWER_WITHIN_S = 3.0
REMEMBERED_S = 1.0


async def health(request: HttpRequest) -> JsonResponse:
    """The process lives. Asks nobody."""
    return JsonResponse({"status": "ok"})


async def ready(request: HttpRequest) -> JsonResponse:
    """Database, schema, controller and worker, each `{"ok", "message"}`; 503 when one fails."""
    try:
        found = await _latest.get()
    except TimeoutError:
        found = database_away(f"no answer within {ANSWER_WITHIN_S:g} s")
    answer = JsonResponse(found.view(), status=200 if found.is_ready else 503)
    # Django logs each 5xx as an error unless told that it was; here it is an answer that somebody polls.
    answer.__dict__["_has_been_logged"] = True
    return answer


def _look() -> Readiness:
    return read_readiness()


_latest = Latest(_look, remembered_s=REMEMBERED_S, within_s=ANSWER_WITHIN_S)
