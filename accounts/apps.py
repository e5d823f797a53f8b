"""The app as Django knows it."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    """Makes the groups of the roles after each migration; they are there also after a test flushed them."""

    name = "accounts"

    def ready(self) -> None:
        """Connect the groups to migrations."""
        post_migrate.connect(_make_roles, sender=self)


def _make_roles(using: str, **_: Any) -> None:
    from accounts.services import roles_ensure

    roles_ensure(using=using)
