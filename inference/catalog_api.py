"""The REST surface of the fleet's models, below /api/v1/."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from dpl_site.lib.refusals import Refused
from inference.catalog import FleetModel, fleet_models
from inference.model_list import model_views
from inference.models import EngineModel
from inference.serializers import FleetModelOut

MODEL_FILTERS = [
    OpenApiParameter("name", str, description="With this in the name, in any case."),
    OpenApiParameter("resident", bool, description="Resident somewhere, or nowhere."),
]


class ModelViewSet(viewsets.GenericViewSet[EngineModel]):
    """The models of the fleet: each once, with the nodes that have it, on disk or resident."""

    queryset = EngineModel.objects.none()
    serializer_class = FleetModelOut
    scopes: ClassVar = {"GET": "read"}

    @extend_schema(parameters=MODEL_FILTERS)
    def list(self, request: Request) -> Response:
        """The models of engines that are online, by name."""
        models = [one for one in fleet_models() if _is_wanted(one, request)]
        page: list[Any] = self.paginate_queryset(models) or []
        return self.get_paginated_response(model_views(page))


def _is_wanted(model: FleetModel, request: Request) -> bool:
    name, resident = request.query_params.get("name", ""), request.query_params.get("resident", "")
    if resident and resident not in ("true", "false"):
        raise Refused("resident must be true or false.", detail={"resident": ["Use true or false."]})
    return name.lower() in model.name.lower() and (not resident or model.is_resident == (resident == "true"))
