"""Jobs in Django's admin: to look at, with the ways to what belongs to them. Nothing is changed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django_q.models import Failure, OrmQ, Schedule, Success

from datasets import statistics
from datasets.models import Job
from dpl_site.lib.admin import ReadOnly

if TYPE_CHECKING:
    JobModelAdmin = admin.ModelAdmin[Job]
else:
    JobModelAdmin = admin.ModelAdmin


@admin.register(Job)
class JobAdmin(ReadOnly, JobModelAdmin):
    """Jobs, read-only: they are stopped and resumed by their pages and the API, along their states."""

    list_display = ("name", "owner", "state", "total", "created_at", "finished_at")
    list_filter = ("state",)
    search_fields = ("id", "name", "owner__username")
    list_select_related = ("owner",)
    date_hierarchy = "created_at"
    show_full_result_count = False
    fields = (
        *("id", "name", "owner", "state", "stop_mode", "error", "recorded", "total", "imported", "options"),
        *("created_at", "started_at", "finished_at", "late_results_refused", "links"),
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Newest first."""
        return super().get_queryset(request).order_by("-id")

    @admin.display(description=_("succeeded / failed"))
    def recorded(self, job: Job) -> str:
        """By the shards' counters."""
        succeeded, failed = statistics.recorded([job.id]).get(job.id, (0, 0))
        return f"{succeeded} / {failed}"

    @admin.display(description=_("see also"))
    def links(self, job: Job) -> SafeString:
        """Where its status, items and result are."""
        names = (
            ("job-page", pgettext_lazy("link to a job", "page")),
            ("dataset-detailed-status", pgettext_lazy("link to a job", "status")),
            ("job-items", pgettext_lazy("link to a job", "items")),
            ("dataset-result", pgettext_lazy("link to a job", "result")),
        )
        found = [(reverse(name, args=[job.id]), text) for name, text in names]
        return format_html("{}", format_html_join(" · ", '<a href="{}">{}</a>', found))


# The queue's rows are wake-ups, and its schedules are never run: nothing in them is for people to edit.
for _model in (Schedule, Success, Failure, OrmQ):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)
