"""Django's admin as a whole: its heading, the way back to the pages, its own log, and what things are called in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.utils.translation import gettext_lazy as _

from dpl_site import admin_words
from dpl_site.lib.admin import ReadOnly

if TYPE_CHECKING:
    LogModelAdmin = admin.ModelAdmin[LogEntry]
else:
    LogModelAdmin = admin.ModelAdmin

admin.site.site_header = _("DPL administration")
admin.site.site_title = _("DPL administration")
admin.site.index_title = _("What people configure, and what happened")
admin.site.site_url = "/"
admin_words.name_everything()


@admin.register(LogEntry)
class LogAdmin(ReadOnly, LogModelAdmin):
    """Who changed what on these pages."""

    list_display = ("action_time", "user", "content_type", "object_repr", "get_change_message")
    list_filter = ("action_flag", "content_type")
    search_fields = ("object_repr", "change_message", "user__username")
    date_hierarchy = "action_time"
    list_select_related = ("user", "content_type")
