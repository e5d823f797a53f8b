"""Every path of the site outside the door: one include per app."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from dpl_site import debug, metrics, overview, overview_page, views
from dpl_site.prometheus.proxy import query_range

urlpatterns = [
    path("", overview_page.overview_page, name="fleet-page"),
    path("", include("accounts.urls")),
    path("", include("inference.urls")),
    path("", include("inference.flowline.urls")),
    path("", include("datasets.urls")),
    path("", include("alerts.urls")),
    path("api/cluster/overview", overview.cluster_overview),
    path("metrics", metrics.metrics),
    path("health", views.health),
    path("ready", views.ready),
    path("agent/<str:name>", views.agent_wheel),
    path("api/debug/info", debug.info),
    path("api/debug/diagnosis", debug.diagnosis),
    path("api/prometheus/query_range", query_range),
    path("api/schema", views.schema),
    path("api/docs", views.docs),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
handler400 = "dpl_site.views.bad_request"
handler403 = "dpl_site.views.forbidden"
handler404 = "dpl_site.views.not_found"
handler500 = "dpl_site.views.server_error"
