"""Seed 1's path of alerts, outside /api/v1/."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from accounts.http import methods, require
from alerts.payloads import alert_view
from alerts.selectors import open_alerts

MOST = 5000


@methods("GET")
@require("read")
def alerts(request: HttpRequest) -> JsonResponse:
    """What is pending, firing or recovering, newest first."""
    return JsonResponse({"alerts": [alert_view(alert) for alert in open_alerts()[:MOST]]})
