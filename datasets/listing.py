"""The list of jobs as its address says: which are sought, in which order. Decides what such an address may ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import F, OrderBy, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from datasets.dryruns import whole_runs
from datasets.models import Job
from datasets.states import JobState

NEWEST = "-created"
SORTS: Mapping[str, tuple[str | Promise, OrderBy]] = {
    NEWEST: (_("newest first"), F("id").desc()),
    "created": (_("oldest first"), F("id").asc()),
    "name": (_("by name"), F("name").asc()),
    "-total": (_("largest first"), F("total").desc()),
    "-finished": (_("last ended first"), F("finished_at").desc(nulls_last=True)),
}


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for in the list; empty means anything."""

    search: str = ""
    state: str = ""
    sort: str = NEWEST
    with_dry_runs: bool = False

    @classmethod
    def asked(cls, query: Mapping[str, str]) -> Sought:
        """What a page's address asks for; what makes no sense counts as absent."""
        state, sort = query.get("state", ""), query.get("sort", NEWEST)
        return cls(
            query.get("search", "").strip()[:200],
            state if state in set(JobState) else "",
            sort if sort in SORTS else NEWEST,
            query.get("dry_runs", "") == "yes",
        )

    @property
    def is_any(self) -> bool:
        """Whether nothing is looked for."""
        return not (self.search or self.state)

    @property
    def source(self) -> str:
        """The same for the API, which lists dry runs unless told otherwise."""
        return self.query if self.with_dry_runs else f"{self.query}&dry_runs=no".removeprefix("&")

    @property
    def query(self) -> str:
        """The same for an address, empty for the plain list."""
        sort = "" if self.sort == NEWEST else self.sort
        dry = "yes" if self.with_dry_runs else ""
        told = {"search": self.search, "state": self.state, "sort": sort, "dry_runs": dry}
        return urlencode({name: value for name, value in told.items() if value})

    def among(self, jobs: QuerySet[Job]) -> QuerySet[Job]:
        """Those of the jobs that are sought, in order."""
        if not self.with_dry_runs:
            jobs = whole_runs(jobs)
        if self.state:
            jobs = jobs.filter(state=self.state)
        if self.search:
            jobs = jobs.filter(name__icontains=self.search)
        return jobs.order_by(SORTS[self.sort][1], "-id")
