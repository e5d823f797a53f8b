"""`/ws/jobs/{id}/`: a job's detailed status at once and whenever it changes. Async."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from django.urls import path

from accounts.authentication import Principal
from accounts.consumers import FORBIDDEN, NOT_FOUND, WatchConsumer
from datasets.live import watch
from datasets.selectors import job_for
from dpl_site.lib.db import call
from dpl_site.lib.refusals import Refused


class JobConsumer(WatchConsumer):
    """One watcher of one job: his own, or any for an admin."""

    def messages(self) -> AsyncGenerator[bytes, None]:
        """The job's status, until the job is gone."""
        return watch(self._job_id)

    async def refusal(self, principal: Principal) -> int:
        """Another's job is not found."""
        if not (principal.may("read") or principal.may("datasets")):
            return FORBIDDEN
        try:
            await call(job_for, principal, self._job_id)
        except Refused:
            return NOT_FOUND
        return 0

    @property
    def _job_id(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["job_id"])


websocket_urlpatterns = [path("ws/jobs/<str:job_id>/", JobConsumer.as_asgi())]
