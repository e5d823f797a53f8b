"""`/api/v1/usage/`: requests and tokens by key, user, model, node and day; one's own, for admins everybody's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.models import UsageDay
from accounts.rest import principal_of
from accounts.selectors import (
    USAGE_GROUPS,
    USAGE_SUMS,
    UsageFilter,
    names_of,
    usage_grouped,
    usage_of,
    usage_total,
)
from dpl_site.lib.filters import day_in, id_in, words_in

GROUPS = tuple(USAGE_GROUPS)


class Named(serializers.Serializer[None]):
    """Something by its id and name."""

    id = serializers.IntegerField()
    name = serializers.CharField(allow_null=True)


class UsageOut(serializers.Serializer[UsageDay]):
    """One sum; the groups that were not asked for are not there."""

    day = serializers.DateField(required=False)
    user = Named(required=False)
    key = Named(required=False, allow_null=True, help_text="Null: a page, or a job.")
    model = serializers.CharField(required=False, help_text="Empty: no engine had the model.")
    node = Named(required=False, allow_null=True, help_text="Null: no engine could take it.")
    # A field of this name is taken out of the class by the framework before it can hide the attribute.
    source = serializers.ChoiceField(choices=UsageDay.Source.choices, required=False)  # type: ignore[assignment]
    requests = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()


FILTERS = [
    OpenApiParameter("from", str, description="From this day on (UTC)."),
    OpenApiParameter("to", str, description="To this day, which is included."),
    OpenApiParameter("user", str, description="Of this person, by name or id."),
    OpenApiParameter("key", int, description="Of the key with this id; 0: without a key."),
    OpenApiParameter("model", str, description="Of this model."),
    OpenApiParameter("node", str, description="On this node, by name or id."),
    OpenApiParameter("source", str, description=f"Of {', '.join(UsageDay.Source.values)}."),
    OpenApiParameter("group_by", str, description=f"Summed up by these: {', '.join(GROUPS)}."),
]


class UsageViews(GenericViewSet[UsageDay]):
    """Usage, summed up."""

    scopes: ClassVar = {"GET": "read"}
    queryset = UsageDay.objects.none()
    serializer_class = UsageOut

    @extend_schema(parameters=FILTERS, responses=UsageOut(many=True))
    def list(self, request: Request) -> Response:
        """Sums of requests and tokens, the latest day first; `totals` is all of them in one."""
        query = request.query_params
        group_by = words_in(query, "group_by", GROUPS) or GROUPS
        wanted = UsageFilter(
            since=day_in(query, "from"),
            until=day_in(query, "to"),
            user=query.get("user", ""),
            key_id=id_in(query, "key"),
            model=query.get("model"),
            node=query.get("node", ""),
            source=words_in(query, "source", UsageDay.Source.values),
        )
        found = usage_of(principal_of(request), wanted)
        page: Any = self.paginate_queryset(usage_grouped(found, group_by)) or []
        response = self.get_paginated_response(_told(page, group_by))
        response.data["totals"] = usage_total(found)
        return response


def _told(rows: Sequence[dict[str, Any]], group_by: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as the API tells them, with the names of what they are about."""
    people, keys = names_of({row.get("user_id", 0) for row in rows}, {row.get("key_id", 0) for row in rows})
    return [_told_one(row, group_by, people, keys) for row in rows]


def _told_one(
    row: dict[str, Any], group_by: Sequence[str], people: dict[int, str], keys: dict[int, str]
) -> dict[str, Any]:
    told: dict[str, Any] = {name: row[name] for name in ("day", "model", "source") if name in group_by}
    if "user" in group_by:
        told["user"] = {"id": row["user_id"], "name": people.get(row["user_id"])}
    if "key" in group_by:
        told["key"] = {"id": row["key_id"], "name": keys.get(row["key_id"])} if row["key_id"] else None
    if "node" in group_by:
        node = {"id": row["node_id"], "name": row["last_node_name"]}
        told["node"] = node if row["node_id"] else None
    return told | {name: row[f"sum_{name}"] or 0 for name in USAGE_SUMS}
