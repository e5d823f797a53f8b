"""Rules, silences and channels in Django's admin; alerts, messages and the audit are there to be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from alerts import changes
from alerts.forms import ChannelForm, RuleForm, ScopeForm, SilenceForm
from alerts.models import (
    Alert,
    AlertAudit,
    AlertEvent,
    Channel,
    Delivery,
    DeliveryAttempt,
    Rule,
    RuleScope,
    Silence,
)
from alerts.services import alert_acknowledge, audit
from alerts.states import OPEN
from dpl_site.lib.admin import ReadOnly
from dpl_site.lib.clock import iso_ms, utc_now
from dpl_site.lib.refusals import Refused

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
    RuleModelAdmin = admin.ModelAdmin[Rule]
    SilenceModelAdmin = admin.ModelAdmin[Silence]
    ChannelModelAdmin = admin.ModelAdmin[Channel]
    ScopeTabular = admin.TabularInline[RuleScope, Rule]
    AnyTabular = admin.TabularInline[Any, Any]
else:
    AnyModelAdmin = RuleModelAdmin = SilenceModelAdmin = ChannelModelAdmin = admin.ModelAdmin
    ScopeTabular = AnyTabular = admin.TabularInline


class ScopeInline(ScopeTabular):
    """Where a rule looks."""

    model = RuleScope
    form = ScopeForm
    autocomplete_fields = ("node",)
    extra = 0
    max_num = changes.MOST_SCOPES


@admin.register(Rule)
class RuleAdmin(RuleModelAdmin):
    """The rules."""

    form = RuleForm
    inlines = (ScopeInline,)
    list_display = ("name", "is_enabled", "metric", "condition", "severity")
    list_filter = ("is_enabled", "severity")
    search_fields = ("name", "metric")
    actions = ("switch_on", "switch_off")

    @admin.display(description=_("fires"))
    def condition(self, rule: Rule) -> str:
        """When it fires and when it ends."""
        of = f"{rule.aggregation} of {rule.window_s} s " if rule.window_s else ""
        return f"{of}{rule.operator} {rule.fire_value:g} for {rule.for_s} s, until {rule.clear_value:g}"

    def save_model(self, request: HttpRequest, obj: Rule, form: Any, change: bool) -> None:
        """Keep it, and who changed what."""
        super().save_model(request, obj, form, change)
        changed = {field: form.cleaned_data[field] for field in form.changed_data}
        action = "rule changed" if change else "rule made"
        audit(actor=request.user.get_username(), action=action, subject=obj.name, detail=changed)

    def delete_model(self, request: HttpRequest, obj: Rule) -> None:
        """Remove it; its alerts end."""
        changes.rule_remove(actor=request.user.get_username(), rule=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        """Remove them."""
        for rule in queryset:
            self.delete_model(request, rule)

    @admin.action(description=_("Switch on"))
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        """Let them look again."""
        self._switch(request, queryset, is_enabled=True)

    @admin.action(description=_("Switch off"))
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        """Their alerts end."""
        self._switch(request, queryset, is_enabled=False)

    def _switch(self, request: HttpRequest, rules: QuerySet[Rule], *, is_enabled: bool) -> None:
        for rule in rules.exclude(is_enabled=is_enabled):
            changes.rule_save(
                actor=request.user.get_username(), values={"is_enabled": is_enabled}, scopes=None, rule=rule
            )


@admin.register(Silence)
class SilenceAdmin(SilenceModelAdmin):
    """The silences; one that stands can be ended, and none is removed."""

    form = SilenceForm
    list_display = ("id", "author", "rule", "node", "environment", "label", "starts_at", "ends_at", "comment")
    list_select_related = ("rule", "node")
    list_filter = ("starts_at", "ends_at")
    search_fields = ("author", "comment", "node__name", "rule__name")
    autocomplete_fields = ("rule", "node")
    date_hierarchy = "starts_at"
    actions = ("end_now",)

    def has_change_permission(self, request: HttpRequest, obj: Silence | None = None) -> bool:
        """What was said stands."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Silence | None = None) -> bool:
        """It ends."""
        return False

    def save_model(self, request: HttpRequest, obj: Silence, form: Any, change: bool) -> None:
        """Keep it with its author."""
        made = changes.silence_make(actor=request.user.get_username(), values=form.cleaned_data)
        obj.pk = made.pk
        obj.refresh_from_db()

    @admin.action(description=_("End now"))
    def end_now(self, request: HttpRequest, queryset: QuerySet[Silence]) -> None:
        """From now on people are told again."""
        for silence in queryset.filter(ends_at__gt=utc_now()):
            changes.silence_end(actor=request.user.get_username(), silence=silence)


@admin.register(Channel)
class ChannelAdmin(ChannelModelAdmin):
    """The channels."""

    form = ChannelForm
    fields = ("name", "url", "is_enabled", "least_severity", "tells_resolved")
    list_display = ("name", "kind", "is_enabled", "least_severity", "state")
    list_select_related = ("status",)
    list_filter = ("is_enabled", "kind")
    search_fields = ("name",)
    actions = ("send_test",)

    @admin.display(description=_("state"))
    def state(self, channel: Channel) -> str:
        """How it does, in words."""
        status = getattr(channel, "status", None)
        if status is None:
            return gettext("not used yet")
        if status.failing_since_ms is not None:
            said = gettext("fails since %(time)s: %(error)s")
            return said % {"time": iso_ms(status.failing_since_ms), "error": status.error}
        return gettext("works, last at %(time)s") % {"time": iso_ms(status.sent_ms)}

    def save_model(self, request: HttpRequest, obj: Channel, form: Any, change: bool) -> None:
        """Keep it, and who changed what."""
        values = {field: form.cleaned_data[field] for field in self.fields}
        if not values["url"]:
            del values["url"]
        else:
            obj.url, obj.kind = "", ""
        kept = Channel.objects.get(pk=obj.pk) if change else None
        saved = changes.channel_save(actor=request.user.get_username(), values=values, channel=kept)
        obj.pk = saved.pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: Channel) -> None:
        """Remove it with its messages."""
        changes.channel_remove(actor=request.user.get_username(), channel=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        """Remove them."""
        for channel in queryset:
            self.delete_model(request, channel)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """What the page before removing lists: its messages go too, which nobody may remove by themselves."""
        channels: list[Model] = list(objs)
        return [str(channel) for channel in channels], {"channels": len(channels)}, set(), []

    @admin.action(description=_("Send a test message"))
    def send_test(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        """Send it now, and say what came of it."""
        for channel in queryset[:10]:
            outcome = changes.channel_test(channel=channel)
            said = (
                gettext("%(name)s took the message.")
                if outcome.is_ok
                else gettext("%(name)s failed: %(error)s")
            )
            level = messages.SUCCESS if outcome.is_ok else messages.ERROR
            self.message_user(request, said % {"name": channel.name, "error": outcome.error}, level)


class EventInline(ReadOnly, AnyTabular):
    """What happened to an alert."""

    model = AlertEvent
    fields = ("at", "action", "old", "new", "value", "threshold", "duration_s", "reason", "actor")
    readonly_fields = ("at",)

    @admin.display(description=_("at"))
    def at(self, event: AlertEvent) -> str | None:
        """When."""
        return iso_ms(event.at_ms)


@admin.register(Alert)
class AlertAdmin(ReadOnly, AnyModelAdmin):
    """Alerts and their history."""

    inlines = (EventInline,)
    list_display = (
        "id",
        "rule_name",
        "about",
        "severity",
        "state",
        "began",
        "reason",
        "acknowledged_by",
    )
    list_filter = ("state", "severity")
    search_fields = ("rule_name", "node_name", "subject_name")
    actions = ("acknowledge",)

    @admin.display(description=_("About"), ordering="node_name")
    def about(self, alert: Alert) -> str:
        """The node, and what of it."""
        return f"{alert.node_name} {alert.subject_name}".strip()

    @admin.display(description=_("Began"), ordering="began_ms")
    def began(self, alert: Alert) -> datetime:
        """When its condition began to hold."""
        return datetime.fromtimestamp(alert.began_ms / 1000, UTC)

    @admin.action(description=_("Acknowledge"))
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        """Note that one has seen them: no more reminders."""
        for alert in queryset.filter(state__in=OPEN):
            try:
                alert_acknowledge(alert_id=alert.pk, actor=request.user.get_username())
            except Refused as refused:
                self.message_user(request, f"{alert}: {refused.message}", messages.ERROR)


class AttemptInline(ReadOnly, AnyTabular):
    """The tries of a message."""

    model = DeliveryAttempt
    fields = ("is_ok", "error", "took_ms")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly, AnyModelAdmin):
    """The messages, with what came of them."""

    inlines = (AttemptInline,)
    list_display = ("id", "channel", "title", "state", "attempts")
    list_filter = ("state", "severity", "channel")
    search_fields = ("title", "body", "channel__name")
    list_select_related = ("channel",)


@admin.register(AlertAudit)
class AlertAuditAdmin(ReadOnly, AnyModelAdmin):
    """Who changed what."""

    list_display = ("at", "actor", "action", "subject", "detail")
    list_filter = ("action",)
    search_fields = ("actor", "subject")
    date_hierarchy = "at"
