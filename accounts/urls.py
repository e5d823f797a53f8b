"""The paths of accounts: logging in and out, the password, keys and their page, usage."""

from __future__ import annotations

from django.urls import include, path

from accounts import key_pages, views
from accounts.api import KeyViews
from accounts.usage_api import UsageViews
from dpl_site.lib.rest import OptionalSlashRouter

router = OptionalSlashRouter()
router.register("keys", KeyViews, basename="key")
router.register("usage", UsageViews, basename="usage")

urlpatterns = [
    path("login/", views.login, name="login"),
    path("logout/", views.logout, name="logout"),
    path("password/", views.password, name="password"),
    path("keys/", key_pages.keys_page, name="keys-page"),
    path("keys/<int:key_id>/revoke", key_pages.revoke, name="key-revoke"),
    path("keys/<int:key_id>/limits", key_pages.limit, name="key-limits"),
    path("api/v1/", include(router.urls)),
]
