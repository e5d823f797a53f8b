"""`/api/v1/requests/`: the log of requests with each decision; one's own, for admins everybody's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import orjson
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import Principal
from accounts.rest import principal_of
from accounts.selectors import names_of, people_named
from accounts.usage_api import Named
from dpl_site.lib.clock import iso
from dpl_site.lib.filters import id_in, moment_in, words_in
from inference.models import RequestLog
from inference.records import CANCELLED, OK

_PLAIN = (
    *("id", "request_id", "path", "model_asked", "model", "outcome", "status"),
    *("waited_ms", "ttft_ms", "duration_ms", "prompt_tokens", "completion_tokens", "attempts"),
)


class FaultOut(serializers.Serializer[None]):
    """How a try failed."""

    code = serializers.CharField()
    message = serializers.CharField()


class OtherOut(serializers.Serializer[None]):
    """An engine that could have taken the request too."""

    node = serializers.CharField()
    expected_finish_s = serializers.FloatField()


class RejectedOut(serializers.Serializer[None]):
    """An engine that could not take the request."""

    node = serializers.CharField()
    reason = serializers.CharField()


class AttemptOut(serializers.Serializer[None]):
    """One try: where it went and why, what else there was, how it failed."""

    node = Named(allow_null=True)
    engine = serializers.IntegerField(allow_null=True)
    model = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())
    others = OtherOut(many=True)
    rejected = RejectedOut(many=True)
    error = FaultOut(allow_null=True)


class RequestOut(serializers.Serializer[RequestLog]):
    """One request through the gateway."""

    id = serializers.IntegerField()
    request_id = serializers.CharField()
    at = serializers.DateTimeField()
    user = Named()
    key = Named(allow_null=True)
    path = serializers.CharField()
    model_asked = serializers.CharField(help_text="Empty: whatever is resident.")
    model = serializers.CharField(help_text="The engine's own name of it; empty: no engine had it.")
    node = Named(allow_null=True)
    engine = serializers.IntegerField(allow_null=True)
    outcome = serializers.CharField(help_text="ok, cancelled, or the code of the error.")
    status = serializers.IntegerField()
    stream = serializers.BooleanField()
    waited_ms = serializers.IntegerField()
    ttft_ms = serializers.IntegerField(allow_null=True)
    duration_ms = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField(allow_null=True)
    completion_tokens = serializers.IntegerField(allow_null=True)
    tokens_estimated = serializers.BooleanField(help_text="The engine told none: pieces were counted.")
    attempts = serializers.IntegerField()
    decision = AttemptOut(many=True)


FILTERS = [
    OpenApiParameter("from", str, description="From this moment or day on."),
    OpenApiParameter("to", str, description="To this moment or day, which is included."),
    OpenApiParameter("user", str, description="Of this person, by name or id."),
    OpenApiParameter("key", int, description="By the key with this id."),
    OpenApiParameter("model", str, description="That this model answered."),
    OpenApiParameter("node", int, description="That went to this node."),
    OpenApiParameter("outcome", str, description="With this outcome."),
    OpenApiParameter(
        "failed", bool, description="That ended in an error, or not; a client that left is none."
    ),
    OpenApiParameter("request_id", str, description="With this `X-Request-ID`."),
]


class RequestViews(viewsets.GenericViewSet[RequestLog]):
    """Requests, newest first. Another person's is 404 without the admin scope."""

    scopes: ClassVar = {"GET": "read"}
    queryset = RequestLog.objects.none()
    serializer_class = RequestOut
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[RequestLog]:
        """The requests that the asking person may see."""
        return requests_of(principal_of(self.request), self.request.query_params)

    @extend_schema(parameters=FILTERS, responses=RequestOut(many=True))
    def list(self, request: Request) -> Response:
        """Requests with the decision of each, newest first."""
        return self.get_paginated_response(requests_view(self.paginate_queryset(self.get_queryset()) or []))

    def retrieve(self, request: Request, pk: str) -> Response:
        """One request."""
        return Response(requests_view([self.get_object()])[0])


def requests_of(principal: Principal, query: Mapping[str, str]) -> QuerySet[RequestLog]:
    """The requests that a principal may see and that the query's filters let through. Raises Refused."""
    found = RequestLog.objects.order_by("-id")
    if not principal.may("admin"):
        found = found.filter(user_id=principal.user_id)
    if query.get("user"):
        found = found.filter(user_id__in=people_named(query["user"]))
    failed = words_in(query, "failed", ["true", "false"])
    if len(failed) == 1:
        went_well = Q(outcome__in=(OK, CANCELLED))
        found = found.filter(~went_well if failed == ("true",) else went_well)
    since, until = moment_in(query, "from"), moment_in(query, "to", end_of_day=True)
    conditions = {
        "at__gte": since,
        "at__lte": until,
        "key_id": id_in(query, "key"),
        "node_id": id_in(query, "node"),
        "model": query.get("model"),
        "outcome": query.get("outcome") or None,
        "request_id": query.get("request_id") or None,
    }
    return found.filter(**{name: value for name, value in conditions.items() if value is not None})


def requests_view(rows: Iterable[RequestLog]) -> list[dict[str, Any]]:
    """Rows as the API tells them, with the names of what they are about."""
    rows = list(rows)
    people, keys = names_of({row.user_id for row in rows}, {row.key_id for row in rows if row.key_id})
    return [
        {
            **{name: getattr(row, name) for name in _PLAIN},
            "at": iso(row.at),
            "user": {"id": row.user_id, "name": people.get(row.user_id)},
            "key": {"id": row.key_id, "name": keys.get(row.key_id)} if row.key_id else None,
            "node": {"id": row.node_id, "name": row.node_name} if row.node_id is not None else None,
            "engine": row.engine_id,
            "stream": row.is_streaming,
            "tokens_estimated": row.is_estimated,
            "decision": orjson.loads(row.decision or "[]"),
        }
        for row in rows
    ]
