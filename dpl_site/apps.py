"""The site as Django knows it: its commands and checks."""

from __future__ import annotations

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """Registers the checks when Django is ready."""

    name = "dpl_site"

    def ready(self) -> None:
        """Import the checks, which register themselves."""
        from dpl_site import checks

        checks.register()
