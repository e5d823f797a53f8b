"""`/ws/cluster/` and `/ws/nodes/{id}/`: a snapshot, then what changes. The paths of all sockets here. Async."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from django.urls import path

from accounts.consumers import WatchConsumer
from inference.chat import ChatConsumer
from inference.live import watch


class ClusterConsumer(WatchConsumer):
    """One watcher of the fleet, or of one node."""

    def messages(self) -> AsyncGenerator[bytes, None]:
        """The fleet, or one node until it is gone."""
        return watch(self.scope["url_route"]["kwargs"].get("node_id"))


websocket_urlpatterns = [
    path("ws/cluster/", ClusterConsumer.as_asgi()),
    path("ws/chat/", ChatConsumer.as_asgi()),
    path("ws/nodes/<int:node_id>/", ClusterConsumer.as_asgi()),
]
