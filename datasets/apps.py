"""The app as Django knows it."""

from __future__ import annotations

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Django's entry for this app."""

    name = "datasets"
