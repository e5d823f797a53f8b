"""The fleet's own paths outside /api/v1/: seed 1's status and unlock."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from accounts.http import Asked, methods, require
from inference import fleet
from inference.slots import free_dead_leases
from nodes import locks


@methods("GET")
@require("read")
def status_all(request: HttpRequest) -> JsonResponse:
    """The whole fleet at this moment."""
    return JsonResponse(fleet.status_all())


@methods("POST")
@require("admin")
def unlock_all(request: Asked) -> JsonResponse:
    """Free every lock of ours and every lease whose owner is gone; nothing that runs is cut."""
    unlocked = locks.unlock_all(actor=request.principal.username)
    return JsonResponse({"unlocked": unlocked, "leases": free_dead_leases()})
