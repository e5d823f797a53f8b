"""The paths of alerts."""

from __future__ import annotations

from django.urls import include, path

from alerts import views
from alerts.api import AlertViewSet, ChannelViewSet, RuleViewSet, SilenceViewSet
from dpl_site.lib.rest import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("alerts", AlertViewSet, basename="alert")
router.register("rules", RuleViewSet, basename="rule")
router.register("silences", SilenceViewSet, basename="silence")
router.register("channels", ChannelViewSet, basename="channel")

urlpatterns = [
    path("api/v1/", include(router.urls)),
    path("api/alerts", views.alerts, name="alerts"),
]
