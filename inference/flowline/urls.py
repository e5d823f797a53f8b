"""FlowLine's paths."""

from __future__ import annotations

from django.urls import path

from inference.flowline import views

urlpatterns = [
    path("api/slaves", views.slaves),
    path("api/slaves/<path:key>/refresh", views.refresh_slave),
    path("api/slaves/<path:key>", views.slave),
    path("api/refresh", views.refresh_all),
    path("api/health", views.slaves_health),
    path("api/system/uptime", views.system_uptime),
]
