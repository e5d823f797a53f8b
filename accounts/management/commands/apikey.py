"""`manage.py apikey create|list|limit|revoke`: API keys from a terminal."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from accounts.limits import LIMITS
from accounts.models import ApiKey, User
from accounts.roles import SCOPES
from accounts.selectors import keys_named
from accounts.services import key_create, key_limit, key_revoke
from dpl_site.lib.clock import iso
from dpl_site.lib.commands import InstallationCommand
from dpl_site.lib.refusals import Refused


class Command(InstallationCommand):
    """Parses flags; the services do the rest."""

    help = "Make, list, limit and revoke API keys."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One verb, and what it needs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="Make a key and print it, this once, on a line of its own.")
        create.add_argument("--user", required=True)
        create.add_argument("--name", required=True)
        create.add_argument(
            "--scope",
            action="append",
            choices=SCOPES,
            help="May be repeated; by default all that the user's role allows.",
        )
        verbs.add_parser("list", help="All keys, newest first.")
        limit = verbs.add_parser("limit", help="Change what a key may use; what is not named stays.")
        limit.add_argument("key", metavar="PREFIX_OR_ID", help="Its id, or how it begins (dpl_…).")
        for parser in (create, limit):
            for name in LIMITS:
                parser.add_argument(
                    f"--{name.replace('_', '-')}", metavar="N", type=_limit, default=argparse.SUPPRESS
                )
        revoke = verbs.add_parser("revoke", help="End a key.")
        revoke.add_argument("key", metavar="PREFIX_OR_ID", help="Its id, or how it begins (dpl_…).")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what the verb says."""
        verb = options["verb"]
        if verb == "create":
            self._create(options["user"], options["name"], options["scope"], _limits_in(options))
        elif verb == "list":
            self._list()
        elif verb == "limit":
            self._limit(options["key"], _limits_in(options))
        else:
            self._revoke(options["key"])

    def _create(
        self, username: str, name: str, scopes: list[str] | None, limits: dict[str, int | None]
    ) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}.")
        try:
            key, plain = key_create(user=user, name=name, scopes=scopes, limits=limits)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        self.stderr.write(f"{key} may: {', '.join(key.scopes)}. It is shown this once:")
        self.stdout.write(plain)

    def _list(self) -> None:
        for key in ApiKey.objects.select_related("user").order_by("-created_at", "-id"):
            used = iso(key.last_used_at) or "never"
            state = "revoked" if key.revoked_at else "live"
            columns = (
                str(key.pk),
                key.prefix,
                key.user.username,
                key.name,
                ",".join(key.scopes),
                state,
                used,
                *_told(key),
            )
            self.stdout.write("\t".join(columns))

    def _limit(self, reference: str, limits: dict[str, int | None]) -> None:
        key = self._named(reference)
        try:
            key_limit(key=key, limits=limits)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(f"{key}: {', '.join(_told(key)) or 'no limits'}")

    def _revoke(self, reference: str) -> None:
        key = self._named(reference)
        key_revoke(key=key)
        self.stdout.write(f"{key} is revoked.")

    def _named(self, reference: str) -> ApiKey:
        found = keys_named(reference)
        if not found:
            raise CommandError(f"There is no key {reference[:12]!r}. `apikey list` shows them.")
        if len(found) > 1:
            raise CommandError(
                "More than one key begins so; give the id: " + ", ".join(str(k.pk) for k in found)
            )
        return found[0]


def _limit(text: str) -> int | None:
    """A limit as a flag says it: a number, or none."""
    return None if text == "none" else int(text)


def _limits_in(options: dict[str, Any]) -> dict[str, int | None]:
    return {name: options[name] for name in LIMITS if name in options}


def _told(key: ApiKey) -> list[str]:
    """A key's limits in words."""
    limits = ((name, getattr(key, name)) for name in LIMITS)
    return [f"{limit} {name.replace('_', ' ')}" for name, limit in limits if limit is not None]
