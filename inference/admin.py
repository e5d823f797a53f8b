"""Nodes with their engines in Django's admin. The services save, so that machines are asked and news goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Count, Model, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect

from accounts.models import User
from dpl_site.lib.admin import ReadOnly
from dpl_site.lib.clock import iso_ms
from dpl_site.lib.refusals import Refused
from inference.engines import engine_add, engine_remove, engine_update
from inference.forms import AliasForm, EngineForm, Engines, NodeForm
from inference.models import Engine, ModelAlias, RequestLog
from inference.registration import node_add, node_remove, node_update
from nodes import locks
from nodes.models import Node

if TYPE_CHECKING:
    NodeModelAdmin = admin.ModelAdmin[Node]
    AliasModelAdmin = admin.ModelAdmin[ModelAlias]
    RequestModelAdmin = admin.ModelAdmin[RequestLog]
    EngineTabular = admin.TabularInline[Engine, Node]
else:
    NodeModelAdmin = AliasModelAdmin = RequestModelAdmin = admin.ModelAdmin
    EngineTabular = admin.TabularInline

LOCK_S = 3600.0
FREED, NOT_LOCKED = _("The node %(name)s is unlocked."), _("The node %(name)s was not locked.")


class OutcomeFilter(admin.SimpleListFilter):
    """Requests by how they ended."""

    title = _("outcome")
    parameter_name = "ended"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Three kinds, without looking at the rows."""
        return [("ok", _("answered")), ("cancelled", _("cancelled")), ("failed", _("failed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[RequestLog]) -> QuerySet[RequestLog]:
        """Those of the kind that is chosen."""
        ended = self.value()
        if ended == "failed":
            return queryset.exclude(outcome__in=("ok", "cancelled"))
        return queryset.filter(outcome=ended) if ended else queryset


def _state(name: str) -> str:
    """A state in the reader's language; the pages' filter `state` marks the words."""
    return pgettext("state", name)


class EngineInline(EngineTabular):
    """The engines of a node; archived ones are not shown."""

    model = Engine
    form = EngineForm
    formset = Engines
    extra = 1
    fields = ("base_url", "kind", "slots", "is_enabled", "api_key", "forget_key", "state")
    readonly_fields = ("state",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Engine]:
        """The live ones."""
        return super().get_queryset(request).filter(archived_at__isnull=True).select_related("status")

    @admin.display(description=_("state"))
    def state(self, engine: Engine) -> str:
        """What is known of it, in words."""
        status = getattr(engine, "status", None)
        if status is None:
            return gettext("not asked yet")
        if status.is_online:
            return gettext("online, %(server)s") % {"server": status.server or status.kind}
        return gettext("offline: %(reason)s") % {"reason": status.reason}


@admin.register(Node)
class NodeAdmin(NodeModelAdmin):
    """The machines of the fleet; removing one archives it."""

    form = NodeForm
    inlines = (EngineInline,)
    fields = ("name", "monitor_base_url", "agent_token", "forget_token", "environment", "labels", "state")
    readonly_fields = ("state",)
    list_display = ("name", "state", "locked_by", "engine_count", "environment")
    list_filter = ("status__state", "environment")
    search_fields = ("name", "engines__base_url")
    list_select_related = ("status", "lock")
    actions = ("lock_nodes", "unlock_nodes")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        """The live ones, each with the number of its engines."""
        live = Count("engines", filter=Q(engines__archived_at__isnull=True), distinct=True)
        return super().get_queryset(request).filter(archived_at__isnull=True).annotate(live_engines=live)

    @method_decorator(csrf_protect)
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Django's, but not in one transaction: machines are asked meanwhile, and the database is not to wait."""
        views: Any = self
        response: HttpResponse = views._changeform_view(request, object_id, form_url, extra_context)
        return response

    def save_model(self, request: HttpRequest, obj: Node, form: Any, change: bool) -> None:
        """Add or change the node itself."""
        if change:
            node_update(node_id=obj.pk, **form.values())
        else:
            obj.pk = node_add(**form.values()).pk
        obj.refresh_from_db()

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Add, change and remove its engines."""
        formset.save(commit=False)
        node_id = form.instance.pk
        for engine_form in formset.forms:
            try:
                self._save_engine(engine_form, node_id, is_gone=engine_form in formset.deleted_forms)
            except Refused as refused:
                self.message_user(request, refused.message, messages.ERROR)

    def delete_model(self, request: HttpRequest, obj: Node) -> None:
        """Archive it."""
        node_remove(node_id=obj.pk, actor=request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Archive them."""
        for node in queryset:
            self.delete_model(request, node)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """What the page before removing lists: nothing that refers to a node goes with it."""
        nodes: list[Model] = list(objs)
        return [str(node) for node in nodes], {"nodes": len(nodes)}, set(), []

    @admin.display(description=_("state"), ordering="status__state")
    def state(self, node: Node) -> str:
        """Its state, and the reason when something is wrong."""
        status = getattr(node, "status", None)
        if status is None:
            return _state("unknown")
        state = _state(status.state)
        return format_html("{}<br>{}", state, status.reason) if status.reason else state

    @admin.display(description=_("locked by"))
    def locked_by(self, node: Node) -> str:
        """Who has it until when, if anybody has."""
        status, lock = getattr(node, "status", None), getattr(node, "lock", None)
        if status is not None and status.foreign_lock:
            return gettext("somebody, on its agent")
        said = gettext("%(owner)s until %(time)s")
        return said % {"owner": lock.owner, "time": iso_ms(lock.expires_ms)} if lock else ""

    @admin.display(description=_("engines"), ordering="live_engines")
    def engine_count(self, node: Node) -> int:
        """How many engines it has."""
        return int(getattr(node, "live_engines", 0))

    @admin.action(description=_("Lock for one hour"))
    def lock_nodes(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Take the nodes for oneself."""
        name = request.user.get_username()
        for node in queryset:
            try:
                locks.lock_node(
                    node_id=node.pk,
                    by=locks.PERSON,
                    owner=name,
                    user_id=request.user.pk,
                    reason="locked on the admin pages",
                    ttl_s=LOCK_S,
                    actor=name,
                )
                said = gettext("The node %(name)s is locked for one hour.") % {"name": node.name}
                self.message_user(request, said, messages.SUCCESS)
            except Refused as refused:
                self.message_user(request, f"{node.name}: {refused.message}", messages.ERROR)

    @admin.action(description=_("Unlock"))
    def unlock_nodes(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        """Free the nodes of whatever lock of ours they have."""
        for node in queryset:
            try:
                freed = locks.unlock_node(node_id=node.pk, actor=request.user.get_username(), force=True)
                said = (
                    gettext("The node %(name)s is unlocked.")
                    if freed
                    else gettext("The node %(name)s was not locked.")
                )
                self.message_user(request, said % {"name": node.name}, messages.SUCCESS)
            except Refused as refused:
                self.message_user(request, f"{node.name}: {refused.message}", messages.ERROR)

    def _save_engine(self, form: Any, node_id: int, *, is_gone: bool) -> None:
        if is_gone:
            if form.instance.pk:
                engine_remove(engine_id=form.instance.pk)
        elif form.instance.pk and form.has_changed():
            engine_update(engine_id=form.instance.pk, **form.values())
        elif form.has_changed():
            engine_add(node_id=node_id, **form.values())


@admin.register(ModelAlias)
class ModelAliasAdmin(AliasModelAdmin):
    """Other names of models."""

    form = AliasForm
    list_display = ("alias", "model")
    search_fields = ("alias", "model")


@admin.register(RequestLog)
class RequestAdmin(ReadOnly, RequestModelAdmin):
    """Requests through the gateway. There may be a million: whatever would read all of them is left out."""

    list_display = (
        *("at", "person", "model", "node_name", "outcome", "status", "is_streaming"),
        *("waited_ms", "ttft_ms", "duration_ms", "prompt_tokens", "completion_tokens", "attempts"),
    )
    list_filter = (OutcomeFilter, "at")
    search_fields = ("=request_id",)
    search_help_text = _("The whole X-Request-ID.")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[RequestLog]:
        """Newest first, each with the name of who asked."""
        name = User.objects.filter(id=OuterRef("user_id")).values("username")[:1]
        return super().get_queryset(request).annotate(username=Subquery(name))

    @admin.display(description=_("user"))
    def person(self, row: RequestLog) -> str:
        """Who asked; by number when he is gone."""
        return getattr(row, "username", None) or f"#{row.user_id}"
