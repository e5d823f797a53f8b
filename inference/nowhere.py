"""Says why no engine may take a request: there is no such model, it only embeds, or none works now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dpl_site.lib.refusals import Refused
from inference.model_names import same_model, short_name
from inference.scheduling import Decision, EngineSnapshot, Request

MOST_NAMES = 50
MOST_REASONS = 10


def nowhere(wanted: Request, snapshots: Sequence[EngineSnapshot], decision: Decision) -> Refused:
    """The refusal (404 with the models that there are, 400, or 503 with each engine's reason)."""
    model = next((one.aliases.get(wanted.model, "") for one in snapshots), "") or wanted.model
    generating = {name for one in snapshots for name in (*one.resident, *one.on_disk)}
    embedding = {name for one in snapshots for name in one.embedders}
    if model and not _is_among(model, generating):
        if not _is_among(model, embedding):
            return _unknown(wanted.model, generating | embedding)
        if not wanted.embeds:
            message = f"model '{wanted.model}' only embeds: ask for it at /v1/embeddings or /api/embed."
            return Refused(message, code="model_only_embeds", status=400)
    names = {one.engine_id: one.node_name for one in snapshots}
    reasons = [f"{names[engine_id]}: {why}" for engine_id, why in decision.rejected.items()]
    told = "; ".join(reasons[:MOST_REASONS]) or "there are no engines"
    return Refused(f"No engine can take this now ({told}).", code="no_engine", status=503)


def _is_among(model: str, names: Iterable[str]) -> bool:
    return any(same_model(model, name) for name in names)


def _unknown(model: str, names: Iterable[str]) -> Refused:
    spelled = {short_name(name): name for name in sorted(names, key=len)}  # the longest spelling is told
    known = ", ".join(sorted(spelled.values())[:MOST_NAMES])
    there_are = f"There are: {known}." if known else "No engine has any model yet."
    return Refused(f"model '{model}' not found on any node. {there_are}", code="model_not_found", status=404)
