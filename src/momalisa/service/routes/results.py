"""What a walk has become."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from momalisa.service.edge import EdgeHere, Number, WalkId
from momalisa.service.files import CACHED_PRIVATELY, File, answer_file
from momalisa.service.openapi import PUBLIC, Responses, failures, ranged
from momalisa.walk.animation import Format

router = APIRouter(prefix="/v1/walks/{walk_id}", tags=["results"])

_NOT_DONE = failures(409)
_MEDIA_TYPES: dict[Format, str] = {"gif": "image/gif", "mp4": "video/mp4", "webp": "image/webp"}
_REPORT: Responses = {
    200: {"description": "How smooth it is", "content": {"application/json": {"schema": {"type": "object"}}}}
}


@router.get(
    "/animation.{kind}",
    response_class=Response,
    responses=_NOT_DONE | ranged(*_MEDIA_TYPES.values()),
    openapi_extra=PUBLIC,
)
async def show_animation(
    walk_id: WalkId, kind: Format, request: Request, edge: EdgeHere, download: Annotated[bool, Query()] = False
) -> Response:
    """The walk as GIF, MP4 or WebP."""
    file = File.of(await edge.walks.animation(walk_id, kind), _MEDIA_TYPES[kind])
    name = f"walk-{walk_id}.{kind}" if download else None
    return answer_file(request, file, cache_control=CACHED_PRIVATELY, download_as=name)


@router.get(
    "/frames/{number}.png",
    response_class=Response,
    responses=_NOT_DONE | ranged("image/png"),
    openapi_extra=PUBLIC,
)
async def show_frame(walk_id: WalkId, number: Number, request: Request, edge: EdgeHere) -> Response:
    """A frame of the animation, from 0."""
    file = File.of(await edge.walks.frame(walk_id, number), "image/png")
    return answer_file(request, file, cache_control=CACHED_PRIVATELY)


@router.get("/previews/{number}.png", response_class=Response, responses=ranged("image/png"), openapi_extra=PUBLIC)
async def show_preview(walk_id: WalkId, number: Number, request: Request, edge: EdgeHere) -> Response:
    """A frame as it was announced, from 1, during and after."""
    file = File.of(await edge.walks.preview(walk_id, number), "image/png")
    return answer_file(request, file, cache_control=CACHED_PRIVATELY)


@router.get("/report", response_class=Response, responses=failures(404, 409, 410) | _REPORT, openapi_extra=PUBLIC)
async def show_report(walk_id: WalkId, edge: EdgeHere) -> Response:
    """How smooth the walk is, in figures."""
    return Response(await edge.walks.report(walk_id, "json"), media_type="application/json")


@router.get("/report.png", response_class=Response, responses=_NOT_DONE | ranged("image/png"), openapi_extra=PUBLIC)
async def show_report_picture(walk_id: WalkId, request: Request, edge: EdgeHere) -> Response:
    """How smooth the walk is, as a picture."""
    file = File.of(await edge.walks.report(walk_id, "png"), "image/png")
    return answer_file(request, file, cache_control=CACHED_PRIVATELY)
