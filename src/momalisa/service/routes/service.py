"""The service itself: what it has, who asks, how it is."""

from fastapi import APIRouter, Response

from momalisa.errors import UnavailableError
from momalisa.service.answers import HealthView, MeView, ModelList
from momalisa.service.edge import Caller, EdgeHere
from momalisa.service.openapi import PUBLIC, READ, Responses, failures
from momalisa.service.views import view_me, view_model

router = APIRouter(tags=["service"])
metrics_router = APIRouter(tags=["service"])

_METRICS: Responses = {
    200: {"description": "As Prometheus reads it", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/v1/models", responses=failures(), openapi_extra=PUBLIC)
async def list_models(edge: EdgeHere) -> ModelList:
    """Models to walk in."""
    return ModelList(models=[view_model(model) for model in await edge.walks.models()])


@router.get("/v1/me", responses=failures(), openapi_extra=READ)
async def show_me(owner: Caller, edge: EdgeHere) -> MeView:
    """Who asks, and what they may."""
    return view_me(owner, await edge.walks.quota(owner), edge.limits)


@router.get("/healthz", responses=failures(), openapi_extra=PUBLIC)
async def is_alive() -> HealthView:
    """Whether the process is there."""
    return HealthView(status="ok")


@router.get("/readyz", responses=failures(), openapi_extra=PUBLIC)
async def is_ready(edge: EdgeHere) -> HealthView:
    """Whether a model has drawn a picture since the start."""
    if not await edge.walks.is_ready():
        raise UnavailableError("no model has drawn a picture yet")
    return HealthView(status="ready")


@metrics_router.get("/metrics", response_class=Response, responses=failures() | _METRICS, openapi_extra=PUBLIC)
async def show_metrics(edge: EdgeHere) -> Response:
    """Figures for Prometheus."""
    return Response(await edge.walks.metrics(), headers={"Content-Type": _PROMETHEUS})
