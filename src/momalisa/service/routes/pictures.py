"""Pictures: a visitor's own, and single ones that are drawn."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from momalisa.errors import UnsupportedMediaError
from momalisa.service.answers import PictureView
from momalisa.service.edge import EdgeHere, Spender, needs_json
from momalisa.service.openapi import SPEND, failures, file_response
from momalisa.service.schemas import ImageCreate
from momalisa.service.settle import choose_model, choose_seed, settle_image
from momalisa.service.uploads import MEDIA_TYPES

UPLOAD_PATH = "/v1/pictures"
router = APIRouter(tags=["pictures"])

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_PICTURE = {"requestBody": {"required": True, "content": dict.fromkeys(MEDIA_TYPES, _BINARY)}}


@router.post(UPLOAD_PATH, status_code=201, responses=failures(403, 415), openapi_extra=SPEND | _PICTURE)
async def keep_picture(request: Request, _owner: Spender, edge: EdgeHere) -> PictureView:
    """Send a picture, as the body, to be a waypoint."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in MEDIA_TYPES:
        raise UnsupportedMediaError(f"send a picture, with Content-Type: {' or '.join(MEDIA_TYPES)}")
    upload = await edge.uploads.read(await request.body())
    await edge.moderator.check_picture(upload.png)
    picture_id = await edge.walks.keep_picture(upload.png)
    return PictureView(id=picture_id, width=upload.width, height=upload.height)


@router.post(
    "/v1/images",
    response_class=Response,
    dependencies=[Depends(needs_json)],
    responses=failures(403, 415, 429) | {200: file_response("image/png")},
    openapi_extra=SPEND,
)
async def draw_image(asked: ImageCreate, owner: Spender, edge: EdgeHere) -> Response:
    """Draw one picture, and wait for it."""
    model = choose_model(asked.model, await edge.walks.models())
    seed = choose_seed(asked.seed, owner.name, None)
    request = settle_image(asked, model=model, seed=seed, limits=edge.limits)
    await edge.moderator.check_prompts([request.prompt])
    png = await edge.walks.draw(request, owner)
    await edge.moderator.check_picture(png)
    return Response(png, media_type="image/png")
