"""Locks, invitations and who joined, in Django's admin: to be read. Nodes are edited where engines are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from dpl_site.lib.admin import ReadOnly
from dpl_site.lib.clock import iso_ms
from nodes import joining
from nodes.models import JoinToken, LockAudit, NodeJoin

if TYPE_CHECKING:
    AuditModelAdmin = admin.ModelAdmin[LockAudit]
    TokenModelAdmin = admin.ModelAdmin[JoinToken]
    JoinModelAdmin = admin.ModelAdmin[NodeJoin]
    JoinTabular = admin.TabularInline[NodeJoin, JoinToken]
else:
    AuditModelAdmin = TokenModelAdmin = JoinModelAdmin = admin.ModelAdmin
    JoinTabular = admin.TabularInline


@admin.register(LockAudit)
class LockAuditAdmin(ReadOnly, AuditModelAdmin):
    """Who locked, renewed and unlocked which node when."""

    list_display = ("at", "node", "action", "owner", "by", "actor", "reason")
    list_filter = ("action", "by")
    search_fields = ("node__name", "owner", "actor", "reason")
    list_select_related = ("node",)
    date_hierarchy = "at"


class JoinInline(ReadOnly, JoinTabular):
    """Who joined by an invitation."""

    model = NodeJoin
    fields = ("at", "node", "address", "mode", "is_again", "reason", "engines")


@admin.register(JoinToken)
class JoinTokenAdmin(ReadOnly, TokenModelAdmin):
    """Invitations: made on the page of the fleet, which shows the line; here they are read and revoked."""

    inlines = (JoinInline,)
    fields = (
        "name",
        "prefix",
        "environment",
        "created_by",
        "created_at",
        "end",
        "uses",
        "most_uses",
        "revoked_at",
    )
    readonly_fields = fields
    list_display = (
        "prefix",
        "name",
        "environment",
        "created_by",
        "created_at",
        "end",
        "uses",
        "most_uses",
        "revoked_at",
    )
    list_filter = ("environment", "created_at")
    search_fields = ("prefix", "name", "created_by", "joins__node__name")
    date_hierarchy = "created_at"
    actions = ("revoke",)

    @admin.display(description=_("expires at"), ordering="expires_ms")
    def end(self, token: JoinToken) -> str | None:
        """Until when it is good."""
        return iso_ms(token.expires_ms)

    @admin.action(description=_("Revoke the chosen invitations"), permissions=["view"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[JoinToken]) -> None:
        """Nobody joins by them any more."""
        for token in chosen:
            joining.token_revoke(token_id=token.pk)
        messages.success(request, gettext("%(count)d revoked.") % {"count": len(chosen)})


@admin.register(NodeJoin)
class NodeJoinAdmin(ReadOnly, JoinModelAdmin):
    """Machines that joined: when, from where, and what was found on them."""

    list_display = ("at", "node", "address", "mode", "is_again", "reason")
    list_filter = ("mode", "is_again")
    search_fields = ("node__name", "address")
    list_select_related = ("node",)
    date_hierarchy = "at"
