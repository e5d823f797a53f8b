"""The REST surface of alerts, rules, silences and channels, below /api/v1/: whoever may read sees, admins change."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.rest import principal_of
from alerts import changes, payloads, selectors, services
from alerts.models import Alert, AlertEvent, Channel, Rule, Silence
from alerts.previewing import previewed
from alerts.serializers import (
    AcknowledgeEntry,
    AlertOut,
    ChannelEntry,
    ChannelOut,
    EventOut,
    PreviewEntry,
    PreviewOut,
    RuleEntry,
    RuleOut,
    SilenceEntry,
    SilenceOut,
    SummaryOut,
    TestOut,
)
from alerts.states import AlertState, Severity
from dpl_site.lib.clock import utc_now
from dpl_site.lib.filters import id_in, moment_in, words_in

ALERT_FILTERS = [
    OpenApiParameter("state", str, description="In one of these states, with commas."),
    OpenApiParameter("severity", str, description="Of one of these severities, with commas."),
    OpenApiParameter("node", int, description="On this node."),
    OpenApiParameter("rule", int, description="Of this rule."),
    OpenApiParameter("from", str, description="In its state since this moment or day, or later."),
    OpenApiParameter("to", str, description="In its state since this moment or day, or earlier."),
    OpenApiParameter("order", str, description="`worst`: the worst first, instead of the newest."),
]
SCOPES = {"GET": "read", "*": "admin"}
IDS = "[0-9]{1,18}"


class AlertViewSet(viewsets.GenericViewSet[Alert]):
    """Alerts, those of the past too, newest first."""

    queryset = Alert.objects.none()
    serializer_class = AlertOut
    lookup_value_regex = IDS
    scopes: ClassVar = SCOPES

    def get_queryset(self) -> QuerySet[Alert]:
        """Those that the query's filters let through. Peaks that came to nothing are left out."""
        query = self.request.query_params
        since, until = moment_in(query, "from"), moment_in(query, "to", end_of_day=True)
        conditions = {
            "state__in": words_in(query, "state", [*AlertState]) or None,
            "severity__in": words_in(query, "severity", [*Severity]) or None,
            "node_id": id_in(query, "node"),
            "rule_id": id_in(query, "rule"),
            "state_ms__gte": round(since.timestamp() * 1000) if since else None,
            "state_ms__lte": round(until.timestamp() * 1000) if until else None,
        }
        found = selectors.with_notes(Alert.objects.order_by("-id"))
        if conditions["state__in"] is None:
            found = found.exclude(state=AlertState.OK)
        found = found.filter(**{name: value for name, value in conditions.items() if value is not None})
        return selectors.by_rank(found) if words_in(query, "order", ["worst"]) else found

    @extend_schema(parameters=ALERT_FILTERS)
    def list(self, request: Request) -> Response:
        """Alerts, newest first."""
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response([payloads.alert_detail(one) for one in page])

    def retrieve(self, request: Request, pk: str) -> Response:
        """One alert."""
        return Response(payloads.alert_detail(self.get_object()))

    @extend_schema(responses=SummaryOut, filters=False)
    @action(detail=False, methods=["get"], pagination_class=None)
    def summary(self, request: Request) -> Response:
        """How many fire, and how bad the worst is."""
        return Response(selectors.summary())

    @extend_schema(responses=EventOut(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def events(self, request: Request, pk: str) -> Response:
        """What happened to it, newest first."""
        page = self.paginate_queryset(self.get_object().events.order_by("-id")) or []  # type: ignore[arg-type]  # pages of another table
        return self.get_paginated_response([payloads.event_view(one) for one in _events(page)])

    @extend_schema(request=AcknowledgeEntry, responses=AlertOut)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Note that one has seen it: no more reminders. 409 when it has ended."""
        note = _told(AcknowledgeEntry(data=request.data)).get("note", "")
        return self._acknowledge(request, int(pk), is_undone=False, note=note)

    @extend_schema(request=None, responses=AlertOut)
    @action(detail=True, methods=["post"])
    def unacknowledge(self, request: Request, pk: str) -> Response:
        """Take that back."""
        return self._acknowledge(request, int(pk), is_undone=True)

    def _acknowledge(self, request: Request, alert_id: int, *, is_undone: bool, note: str = "") -> Response:
        services.alert_acknowledge(alert_id=alert_id, actor=_actor(request), note=note, is_undone=is_undone)
        return Response(payloads.alert_detail(selectors.with_notes(Alert.objects.all()).get(pk=alert_id)))


class RuleViewSet(viewsets.GenericViewSet[Rule]):
    """The rules."""

    queryset = Rule.objects.prefetch_related("scopes").order_by("id")
    serializer_class = RuleOut
    lookup_value_regex = IDS
    scopes: ClassVar = SCOPES

    def list(self, request: Request) -> Response:
        """All rules."""
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response([payloads.rule_view(one) for one in page])

    def retrieve(self, request: Request, pk: str) -> Response:
        """One rule."""
        return Response(payloads.rule_view(self.get_object()))

    @extend_schema(request=RuleEntry, responses={201: RuleOut})
    def create(self, request: Request) -> Response:
        """A new rule."""
        return Response(self._save(request, None), status=status.HTTP_201_CREATED)

    @extend_schema(request=RuleEntry, responses=RuleOut)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a rule."""
        return Response(self._save(request, self.get_object()))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Remove a rule; its alerts end."""
        changes.rule_remove(actor=_actor(request), rule=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=PreviewEntry, responses=PreviewOut)
    @action(detail=False, methods=["post"], scopes={"POST": "read"})
    def preview(self, request: Request) -> Response:
        """When this rule would have fired over these values, or over the last days of the fleet."""
        return Response(previewed(_told(PreviewEntry(data=request.data))))

    def _save(self, request: Request, rule: Rule | None) -> dict[str, object]:
        told = _told(RuleEntry(data=request.data, partial=rule is not None))
        scopes = told.pop("scopes", None)
        saved = changes.rule_save(actor=_actor(request), values=told, scopes=scopes, rule=rule)
        return payloads.rule_view(self.get_queryset().get(pk=saved.pk))


class SilenceViewSet(viewsets.GenericViewSet[Silence]):
    """The silences, newest first."""

    queryset = Silence.objects.order_by("-id")
    serializer_class = SilenceOut
    lookup_value_regex = IDS
    scopes: ClassVar = SCOPES

    @extend_schema(parameters=[OpenApiParameter("active", bool, description="In force now, or not.")])
    def list(self, request: Request) -> Response:
        """All silences."""
        rows, asked = self.get_queryset(), words_in(request.query_params, "active", ["true", "false"])
        if asked:
            now = utc_now()
            in_force = {"starts_at__lte": now, "ends_at__gt": now}
            rows = rows.filter(**in_force) if asked == ("true",) else rows.exclude(**in_force)
        page = self.paginate_queryset(rows) or []
        return self.get_paginated_response([payloads.silence_view(one) for one in page])

    def retrieve(self, request: Request, pk: str) -> Response:
        """One silence."""
        return Response(payloads.silence_view(self.get_object()))

    @extend_schema(request=SilenceEntry, responses={201: SilenceOut})
    def create(self, request: Request) -> Response:
        """Silence what fits until it ends."""
        told = _told(SilenceEntry(data=request.data))
        silence = changes.silence_make(actor=_actor(request), values=told)
        return Response(payloads.silence_view(silence), status=status.HTTP_201_CREATED)

    @extend_schema(responses=SilenceOut)
    def destroy(self, request: Request, pk: str) -> Response:
        """End a silence now; it stays to be seen."""
        silence = changes.silence_end(actor=_actor(request), silence=self.get_object())
        return Response(payloads.silence_view(silence))


class ChannelViewSet(viewsets.GenericViewSet[Channel]):
    """The channels that people are told through; addresses go in and never come out."""

    queryset = Channel.objects.select_related("status").order_by("id")
    serializer_class = ChannelOut
    lookup_value_regex = IDS
    scopes: ClassVar = SCOPES

    def list(self, request: Request) -> Response:
        """All channels, and how they do."""
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response([payloads.channel_view(one) for one in page])

    def retrieve(self, request: Request, pk: str) -> Response:
        """One channel."""
        return Response(payloads.channel_view(self.get_object()))

    @extend_schema(request=ChannelEntry, responses={201: ChannelOut})
    def create(self, request: Request) -> Response:
        """A new channel."""
        told = _told(ChannelEntry(data=request.data))
        channel = changes.channel_save(actor=_actor(request), values=told)
        return Response(payloads.channel_view(channel), status=status.HTTP_201_CREATED)

    @extend_schema(request=ChannelEntry, responses=ChannelOut)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a channel."""
        told = _told(ChannelEntry(data=request.data, partial=True))
        channel = changes.channel_save(actor=_actor(request), values=told, channel=self.get_object())
        return Response(payloads.channel_view(channel))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Remove a channel with its messages."""
        changes.channel_remove(actor=_actor(request), channel=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=TestOut)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Send a message now, and say what came of it."""
        outcome = changes.channel_test(channel=self.get_object())
        return Response({"ok": outcome.is_ok, "error": outcome.error or None})


def _actor(request: Request) -> str:
    return principal_of(request).username


def _told(serializer: BaseSerializer[Any]) -> dict[str, Any]:
    """What the request says, by field. Raises ValidationError."""
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _events(page: Any) -> list[AlertEvent]:
    return list(page)
