"""`/api/v1/join-tokens/`: invitations for machines, for admins. How an invitation looks to those who made it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http import server_address
from accounts.rest import principal_of
from dpl_site.lib import agent_wheel
from dpl_site.lib.clock import iso, iso_ms
from dpl_site.lib.db import now_ms
from dpl_site.lib.refusals import Refused
from nodes import joining
from nodes.join_lines import first_line, join_lines
from nodes.models import JoinToken, NodeJoin


class JoinTokenEntry(serializers.Serializer[None]):
    """A new invitation; all of it may be left out."""

    name = serializers.CharField(required=False, allow_blank=True, help_text="What the node is to be called.")
    environment = serializers.CharField(required=False, allow_blank=True)
    ttl_s = serializers.IntegerField(required=False, help_text="Seconds; DPL_JOIN_TOKEN_TTL_S unless said.")
    uses = serializers.IntegerField(
        required=False, help_text="How many machines may join by it; 1 unless said."
    )


class JoinOut(serializers.Serializer[Any]):
    """A machine that joined."""

    node = serializers.DictField()
    at = serializers.DateTimeField()
    address = serializers.CharField()
    mode = serializers.CharField(help_text="pull: its agent is asked; push: it reports by itself.")
    reason = serializers.CharField(help_text="Why its agent has to push.")
    again = serializers.BooleanField(help_text="It took its old node over.")
    engines = serializers.ListField(child=serializers.DictField())


class JoinTokenOut(serializers.Serializer[JoinToken]):
    """An invitation: never the token itself."""

    id = serializers.IntegerField()
    prefix = serializers.CharField()
    state = serializers.ChoiceField(choices=joining.STATES)
    name = serializers.CharField()
    environment = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    uses = serializers.IntegerField()
    most_uses = serializers.IntegerField()
    joined = JoinOut(many=True)


class MadeJoinToken(JoinTokenOut):
    """An invitation just made: `token` and the lines that hold it are shown this once."""

    token = serializers.CharField()
    line = serializers.CharField(help_text="To be pasted in a terminal of the machine.")
    lines = serializers.DictField(child=serializers.CharField(), help_text="The same by system.")


class JoinTokenViews(viewsets.GenericViewSet[JoinToken]):
    """Invitations by which machines make themselves nodes. Admins only."""

    queryset = JoinToken.objects.none()
    serializer_class = JoinTokenOut
    lookup_value_regex = "[0-9]{1,18}"
    scopes: ClassVar = {"*": "admin"}

    def get_queryset(self) -> QuerySet[JoinToken]:
        """All that are kept, the newest first."""
        return joining.with_joins()

    def list(self, request: Request) -> Response:
        """All invitations with who joined by them."""
        page = self.paginate_queryset(self.get_queryset()) or []
        now = now_ms()
        return self.get_paginated_response([token_told(one, now) for one in page])

    def retrieve(self, request: Request, pk: str) -> Response:
        """One invitation, and who joined by it."""
        return Response(token_told(one_token(int(pk)), now_ms()))

    @extend_schema(request=JoinTokenEntry, responses={201: MadeJoinToken})
    def create(self, request: Request) -> Response:
        """Invite a machine: the answer holds the line to paste there, which is shown this once."""
        entry = JoinTokenEntry(data=request.data)
        entry.is_valid(raise_exception=True)
        told = invite(request._request, created_by=principal_of(request).username, **entry.validated_data)
        return Response(told, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: OpenApiResponse(description="Nobody joins by it any more.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke an invitation. Who joined by it stays."""
        joining.token_revoke(token_id=int(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


def invite(request: HttpRequest, **asked: Any) -> dict[str, Any]:
    """Make an invitation and tell it with its token and lines. Raises Refused, by field."""
    row, plain = joining.token_create(**asked)
    lines = lines_of(plain, server_address(request))
    return token_told(row, now_ms(), joins=[]) | {"token": plain, "line": first_line(lines), "lines": lines}


def lines_of(plain: str, server: str) -> dict[str, str]:
    """The lines to paste, by system."""
    return join_lines(server=server, token=plain, wheel=agent_wheel.name())


def one_token(token_id: int) -> JoinToken:
    """One invitation with who joined by it. Raises Refused (404)."""
    row = joining.with_joins().filter(id=token_id).first()
    if row is None:
        raise Refused(f"There is no join token {token_id}.", status=404)
    return row


def token_told(row: JoinToken, now: int, joins: list[NodeJoin] | None = None) -> dict[str, Any]:
    """An invitation as clients see it; `now` is the database's clock."""
    return {
        "id": row.id,
        "prefix": row.prefix,
        "state": joining.state_of(row, now),
        "name": row.name,
        "environment": row.environment,
        "created_by": row.created_by,
        "created_at": iso(row.created_at),
        "expires_at": iso_ms(row.expires_ms),
        "uses": row.uses,
        "most_uses": row.most_uses,
        "joined": [_join(one) for one in (row.joins.all() if joins is None else joins)],
    }


def _join(join: NodeJoin) -> dict[str, Any]:
    return {
        "node": {"id": join.node_id, "name": join.node.name},
        "at": iso(join.at),
        "address": join.address,
        "mode": join.mode,
        "reason": join.reason,
        "again": join.is_again,
        "engines": join.engines,
    }
