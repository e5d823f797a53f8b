"""What happened to locks, in Django's admin: to be read only. Nodes are edited where engines are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from nodes.models import LockAudit

if TYPE_CHECKING:
    AuditModelAdmin = admin.ModelAdmin[LockAudit]
else:
    AuditModelAdmin = admin.ModelAdmin


@admin.register(LockAudit)
class LockAuditAdmin(AuditModelAdmin):
    """Who locked, renewed and unlocked which node when."""

    list_display = ("at", "node", "action", "owner", "by", "actor", "reason")
    list_filter = ("action", "by")
    search_fields = ("node__name", "owner", "actor", "reason")
    list_select_related = ("node",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody writes history."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: LockAudit | None = None) -> bool:
        """Nobody changes history."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LockAudit | None = None) -> bool:
        """Nobody removes history but the clock."""
        return False
