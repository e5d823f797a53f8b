"""Jobs in Django's admin: to look at, with the ways to what belongs to them. Nothing is changed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django_q.models import Failure, OrmQ, Schedule, Success

from datasets import statistics
from datasets.models import Job

if TYPE_CHECKING:
    JobModelAdmin = admin.ModelAdmin[Job]
else:
    JobModelAdmin = admin.ModelAdmin


@admin.register(Job)
class JobAdmin(JobModelAdmin):
    """Jobs, read-only: they are stopped and resumed by their pages and the API, along their states."""

    list_display = ("name", "owner", "state", "total", "created_at", "finished_at")
    list_filter = ("state",)
    search_fields = ("id", "name", "owner__username")
    list_select_related = ("owner",)
    show_full_result_count = False
    fields = (
        *("id", "name", "owner", "state", "stop_mode", "error", "recorded", "total", "imported", "options"),
        *("created_at", "started_at", "finished_at", "late_results_refused", "links"),
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Newest first."""
        return super().get_queryset(request).order_by("-id")

    @admin.display(description="succeeded / failed")
    def recorded(self, job: Job) -> str:
        """By the shards' counters."""
        succeeded, failed = statistics.recorded([job.id]).get(job.id, (0, 0))
        return f"{succeeded} / {failed}"

    @admin.display(description="see also")
    def links(self, job: Job) -> SafeString:
        """Where its status, items and result are."""
        names = {"status": "dataset-detailed-status", "items": "job-items", "result": "dataset-result"}
        found = [(reverse(name, args=[job.id]), text) for text, name in names.items()]
        return format_html("{}", format_html_join(" · ", '<a href="{}">{}</a>', found))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Jobs are made by uploads."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Nothing is edited here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Results are not thrown away by a slip."""
        return False


# The queue's rows are wake-ups, and its schedules are never run: nothing in them is for people to edit.
for _model in (Schedule, Success, Failure, OrmQ):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)
