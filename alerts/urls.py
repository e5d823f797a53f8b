"""The paths of alerts."""

from __future__ import annotations

from django.urls import include, path

from alerts import channel_pages, pages, rule_pages, silence_pages, views
from alerts.api import AlertViewSet, ChannelViewSet, RuleViewSet, SilenceViewSet
from dpl_site.lib.rest import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("alerts", AlertViewSet, basename="alert")
router.register("rules", RuleViewSet, basename="rule")
router.register("silences", SilenceViewSet, basename="silence")
router.register("channels", ChannelViewSet, basename="channel")

urlpatterns = [
    path("alerts/", pages.alerts_page, name="alerts-page"),
    path("alerts/history/", pages.history_page, name="alert-history"),
    path("alerts/history/<int:alert_id>/", pages.alert_page, name="alert-page"),
    path("alerts/history/<int:alert_id>/acknowledge", pages.acknowledge, name="alert-page-acknowledge"),
    path("alerts/history/<int:alert_id>/silence", pages.silence_here, name="alert-page-silence"),
    path("alerts/rules/", rule_pages.rules_page, name="alert-rules"),
    path("alerts/rules/new/", rule_pages.rule_new, name="alert-rule-new"),
    path("alerts/rules/<int:rule_id>/", rule_pages.rule_page, name="alert-rule"),
    path("alerts/rules/<int:rule_id>/switch", rule_pages.rule_switch, name="alert-rule-switch"),
    path("alerts/rules/<int:rule_id>/remove", rule_pages.rule_remove, name="alert-rule-remove"),
    path("alerts/silences/", silence_pages.silences_page, name="alert-silences"),
    path("alerts/silences/<int:silence_id>/end", silence_pages.silence_end, name="alert-silence-end"),
    path("alerts/channels/", channel_pages.channels_page, name="alert-channels"),
    path("alerts/channels/<int:channel_id>/", channel_pages.channel_page, name="alert-channel"),
    path("alerts/channels/<int:channel_id>/test", channel_pages.channel_test, name="alert-channel-test"),
    path(
        "alerts/channels/<int:channel_id>/remove", channel_pages.channel_remove, name="alert-channel-remove"
    ),
    path("api/v1/", include(router.urls)),
    path("api/alerts", views.alerts, name="alerts"),
]
