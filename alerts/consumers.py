"""`/ws/alerts/`: how many alerts fire, at once and whenever something happens to one. Async."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from django.urls import path

from accounts.consumers import WatchConsumer
from alerts.live import watch


class AlertConsumer(WatchConsumer):
    """One page with its bell."""

    def messages(self) -> AsyncGenerator[bytes, None]:
        """The summary, without end."""
        return watch()


websocket_urlpatterns = [path("ws/alerts/", AlertConsumer.as_asgi())]
