"""What the API's documentation is called, and how it is grouped and shown. Settings import it; it imports nothing."""

from __future__ import annotations

from typing import Any

SETTINGS: dict[str, Any] = {
    "TITLE": "DPL",
    "DESCRIPTION": "The machines a team already owns, as one LLM service.",
    "VERSION": "0.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    # Grouped by what a path is about, each group folded, and so are the shapes below.
    "SCHEMA_PATH_PREFIX": r"/api(?:/v1)?",
    "SWAGGER_UI_SETTINGS": {
        "docExpansion": "none",
        "defaultModelsExpandDepth": 0,
        "deepLinking": True,
        "filter": True,
    },
    "PREPROCESSING_HOOKS": ["dpl_site.lib.rest.without_twins"],
    # What is called `state` or `kind` in several things has as many meanings; what has several names has one meaning.
    "ENUM_NAME_OVERRIDES": {
        "NodeState": "nodes.states.NodeState.pairs",
        "AlertState": "alerts.states.AlertState.pairs",
        "JobState": "datasets.states.JobState.pairs",
        "ItemState": "datasets.states.ItemState.pairs",
        "JoinTokenState": "nodes.joining.STATES",
        "EngineKind": "inference.models.Engine.Kind",
        "ChannelKind": "alerts.states.ChannelKind.pairs",
        "Severity": "alerts.states.Severity.pairs",
    },
}
