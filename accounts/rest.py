"""How Django REST framework's views let people in: by key or session, by the scope that each method needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import keys
from accounts.authentication import Principal, authenticate, principal_of_user
from accounts.http import SAFE, WRONG_KEY, lacks
from accounts.models import User

if TYPE_CHECKING:
    # The framework's views load this module while they are being imported themselves.
    from rest_framework.views import APIView

DEFAULT_SCOPES = {"GET": "read", "*": "admin"}
"""What a view without `scopes` asks for."""


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer dpl_…` or `Token dpl_…`; `request.auth` is the Principal."""

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:
        """The key's owner and the principal; None when no key is shown; AuthenticationFailed for a wrong one."""
        authorization = request.headers.get("Authorization")
        if keys.key_in(authorization) is None:
            return None
        principal = authenticate(authorization)
        if principal is None:
            raise AuthenticationFailed(WRONG_KEY)
        # Few views look at the person's row; those that do load it then.
        user = SimpleLazyObject(lambda: User.objects.get(pk=principal.user_id))
        return cast(User, user), principal

    def authenticate_header(self, request: Request) -> str:
        """What makes a refusal a 401."""
        return "Bearer"


class ScopePermission(BasePermission):
    """Asks for the scope that the view's `scopes` names for the method: `{"GET": "read", "*": "datasets"}`.

    HEAD and OPTIONS need what GET needs; `*` stands for the methods that are not named. Sets
    `request.principal`.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """True with the scope; False (401) without anybody; Refused (403) names the scope that is missing."""
        principal = request.auth if isinstance(request.auth, Principal) else principal_of_user(request.user)
        if principal is None:
            return False
        scopes: dict[str, str] = getattr(view, "scopes", DEFAULT_SCOPES)
        if not hasattr(view, str(request.method).lower()):
            return True  # the view answers 405, which is truer than 403
        method = "GET" if request.method in SAFE else str(request.method)
        scope = scopes.get(method) or scopes.get("*")
        if scope is None:
            raise PermissionDenied(f"{request.method} is not possible here.")
        if not principal.may(scope):
            raise lacks(principal, scope)
        request.__dict__["principal"] = principal
        return True


def principal_of(request: Request) -> Principal:
    """The principal that ScopePermission let in."""
    return cast(Principal, request.__dict__["principal"])
