"""`/api/v1/keys/`: one's own keys; with the admin scope, everybody's."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.limits import LIMITS, MOST
from accounts.models import ApiKey, User
from accounts.rest import principal_of
from accounts.roles import SCOPES
from accounts.selectors import keys_of
from accounts.services import key_create, key_limit, key_revoke

# Registers how the schema describes keys.
import_module("accounts.schema")


def _limit() -> serializers.IntegerField:
    return serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MOST)


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    """A key as its owner may see it: never the key itself."""

    user = serializers.SlugRelatedField[User](slug_field="username", read_only=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES), read_only=True)

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            *("id", "user", "name", "prefix", "scopes"),
            *("created_at", "expires_at", "revoked_at", "last_used_at"),
            *LIMITS,
        )
        read_only_fields = fields


class NewKeySerializer(serializers.Serializer[ApiKey]):
    """What is asked for a new key; `scopes` are by default all that the owner's role allows."""

    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES), required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    user = serializers.CharField(required=False, help_text="Whose key; another's needs the admin scope.")
    requests_per_minute = _limit()
    requests_per_day = _limit()
    tokens_per_minute = _limit()
    tokens_per_day = _limit()


class KeyLimitsSerializer(serializers.Serializer[ApiKey]):
    """The limits that are to change; null is no limit."""

    requests_per_minute = _limit()
    requests_per_day = _limit()
    tokens_per_minute = _limit()
    tokens_per_day = _limit()


class MadeKeySerializer(KeySerializer):
    """A key just made: `key` is shown this once."""

    key = serializers.CharField(read_only=True)

    class Meta(KeySerializer.Meta):
        fields = (*KeySerializer.Meta.fields, "key")


class KeyViews(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[ApiKey]):
    """Keys: list, show, make, limit, revoke. Another person's key is 404 without the admin scope."""

    # Whoever may read may see and make keys; a key never makes one that may more than itself. Limits are
    # for admins to change.
    scopes: ClassVar = {"PATCH": "admin", "*": "read"}
    queryset = ApiKey.objects.none()
    serializer_class = KeySerializer
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[ApiKey]:
        """The keys that the asking person may see."""
        return keys_of(principal_of(self.request), username=self.request.query_params.get("user"))

    @extend_schema(
        parameters=[OpenApiParameter("user", OpenApiTypes.STR, description="Only this person's keys.")]
    )
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Keys, newest first; the revoked ones too."""
        return super().list(request, *args, **kwargs)

    @extend_schema(request=NewKeySerializer, responses={201: MadeKeySerializer})
    def create(self, request: Request) -> Response:
        """Make a key. The answer holds it in `key`, this once."""
        asked = NewKeySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        principal = principal_of(request)
        username = asked.validated_data.get("user", principal.username)
        people = User.objects.all() if principal.may("admin") else User.objects.filter(pk=principal.user_id)
        key, plain = key_create(
            user=get_object_or_404(people, username=username),
            name=asked.validated_data["name"],
            scopes=asked.validated_data.get("scopes"),
            expires_at=asked.validated_data.get("expires_at"),
            by=principal,
            limits={name: asked.validated_data[name] for name in LIMITS if name in asked.validated_data},
        )
        return Response(KeySerializer(key).data | {"key": plain}, status=status.HTTP_201_CREATED)

    @extend_schema(request=KeyLimitsSerializer, responses=KeySerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the limits of a key; nothing else of it changes."""
        asked = KeyLimitsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        key = self.get_object()
        key_limit(key=key, limits=asked.validated_data)
        return Response(KeySerializer(key).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke a key. Its row stays, so that it can be told which key did what."""
        key_revoke(key=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
