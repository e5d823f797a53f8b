"""The paths of the fleet."""

from __future__ import annotations

from django.urls import include, path

from dpl_site.lib.rest import OptionalSlashRouter, either
from inference import (
    agents_api,
    chat_pages,
    chat_views,
    join_pages,
    listings,
    model_forms,
    model_pages,
    model_views,
    node_page,
    pages,
    views,
)
from inference.api import EngineViewSet, NodeViewSet
from inference.catalog_api import ModelViewSet
from inference.requests_api import RequestViews
from nodes import usage_pages
from nodes.join_api import JoinTokenViews

router = OptionalSlashRouter()
router.register("nodes", NodeViewSet, basename="node")
router.register("engines", EngineViewSet, basename="engine")
router.register("models", ModelViewSet, basename="model")
router.register("join-tokens", JoinTokenViews, basename="join-token")
router.register("requests", RequestViews, basename="request")

urlpatterns = [
    path("nodes/<int:node_id>/lock", pages.lock, name="node-lock-form"),
    path("nodes/<int:node_id>/unlock", pages.unlock, name="node-unlock-form"),
    path("nodes/<int:node_id>/", node_page.node_page, name="node-page"),
    path("nodes/<int:node_id>/load", model_forms.load, name="node-load"),
    path("nodes/<int:node_id>/unload", model_forms.unload, name="node-unload"),
    path("nodes/invite", join_pages.invite_page, name="node-invite"),
    path("chat/", chat_pages.chat_page, name="chat-page"),
    path("chat/<uuid:conversation>/", chat_pages.chat_page, name="chat-conversation"),
    path("chat/answer", chat_views.answer, name="chat-answer"),
    path("chat/ask", chat_views.ask, name="chat-ask"),
    path("chat/models", chat_pages.models, name="chat-models"),
    path("models/", model_pages.models_page, name="models-page"),
    path("models/act", model_views.act, name="model-act"),
    path("models/aliases", model_pages.alias_save, name="alias-save"),
    path("models/aliases/<int:alias_id>/remove", model_pages.alias_remove, name="alias-remove"),
    path("usage/", usage_pages.usage_page, name="usage-page"),
    path("usage/csv", usage_pages.usage_csv, name="usage-csv"),
    path("usage/energy", usage_pages.energy_csv, name="energy-csv"),
    *either("api/v1/agents/join/", agents_api.join),
    *either("api/v1/agents/push/", agents_api.push),
    path("api/v1/", include(router.urls)),
    path("api/status/all", views.status_all),
    path("api/unlock/all", views.unlock_all),
    path("v1/models", listings.openai_models),
    path("v1/models/<path:name>", listings.openai_model),
    path("api/models", listings.seed_models),
    path("api/models/start/<path:name>", model_views.start),
    path("api/models/stop/<path:name>", model_views.stop),
    path("api/tags", listings.ollama_tags),
    path("api/ps", listings.ollama_ps),
    path("api/version", listings.ollama_version),
    path("api/show", listings.ollama_show),
    *(
        path(f"api/{name}", listings.ollama_elsewhere)
        for name in ("pull", "push", "create", "copy", "delete")
    ),
    path("api/blobs/<path:rest>", listings.ollama_elsewhere),
]
