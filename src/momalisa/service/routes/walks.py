"""Walks: asking for them, watching them, looking after them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from momalisa.service.answers import WalkList, WalkView
from momalisa.service.edge import MAX_NUMBER, Caller, EdgeHere, Spender, Staff, WalkId, needs_json
from momalisa.service.events import EVENT_SCHEMA, MEDIA_TYPE, EventStream, tell
from momalisa.service.openapi import READ, SPEND, STAFF, Responses, failures
from momalisa.service.port import Listing, Page
from momalisa.service.schemas import WalkCreate
from momalisa.service.settle import choose_model, choose_seed, settle_walk
from momalisa.service.views import view_page, view_walk

router = APIRouter(prefix="/v1/walks", tags=["walks"])

_ACCEPTED: Responses = {202: {"headers": {"Location": {"description": "of the walk", "schema": {"type": "string"}}}}}
_STREAM: Responses = {
    200: {"description": "Events: `progress`, `frame`, `end`", "content": {MEDIA_TYPE: {"itemSchema": EVENT_SCHEMA}}}
}
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=100,
        pattern=r"^[\x21-\x7e]+$",
        description="the same again answers with the same walk",
    ),
]
LastEvent = Annotated[int, Query(ge=0, le=MAX_NUMBER, description="the last frame that arrived")]
LastEventHeader = Annotated[
    int, Header(alias="Last-Event-ID", ge=0, le=MAX_NUMBER, description="the same, as browsers send it")
]


@router.post(
    "",
    status_code=202,
    dependencies=[Depends(needs_json)],
    responses=failures(403, 409, 415, 429) | _ACCEPTED,
    openapi_extra=SPEND,
)
async def create_walk(
    asked: WalkCreate, response: Response, owner: Spender, edge: EdgeHere, idempotency_key: IdempotencyKey = None
) -> WalkView:
    """Ask for a walk."""
    model = choose_model(asked.model, await edge.walks.models())
    seed = choose_seed(asked.seed, owner.name, idempotency_key)
    request = settle_walk(asked, model=model, seed=seed, limits=edge.limits)
    await edge.moderator.check_prompts([waypoint.prompt for waypoint in request.waypoints])
    status = await edge.walks.submit(request, owner, idempotency_key=idempotency_key)
    view = view_walk(status, owner)
    response.headers["Location"] = view.links.self
    return view


@router.get("", responses=failures(), openapi_extra=READ)
async def list_walks(
    owner: Caller,
    edge: EdgeHere,
    listing: Annotated[Listing, Query(alias="list")] = "featured",
    limit: Annotated[int, Query(ge=1, le=100)] = 24,
    cursor: Annotated[str | None, Query(min_length=1, max_length=300, pattern=r"^[\x21-\x7e]+$")] = None,
) -> WalkList:
    """Walks that the museum shows, or one's own, newest first."""
    if listing == "mine" and owner.kind == "anybody":
        # Who knows a walk's id may look after it: nobody is given those of everybody.
        return view_page(Page(walks=(), next_cursor=None), owner)
    return view_page(await edge.walks.page(listing, owner, limit=limit, cursor=cursor), owner)


@router.get("/{walk_id}", responses=failures(404, 410), openapi_extra=READ)
async def show_walk(walk_id: WalkId, owner: Caller, edge: EdgeHere) -> WalkView:
    """A walk as it is now."""
    return view_walk(await edge.walks.status(walk_id), owner)


@router.get(
    "/{walk_id}/events",
    response_class=Response,
    responses=failures(404, 410, 429) | _STREAM,
    openapi_extra=READ,
)
async def watch_walk(
    walk_id: WalkId,
    owner: Caller,
    edge: EdgeHere,
    last_event_id: LastEvent = 0,
    last_event_header: LastEventHeader = 0,
) -> Response:
    """Server-sent events: frames as they come, progress, the end. Resumes after the last frame that arrived."""
    status = await edge.walks.status(walk_id)
    # A browser that connects anew sends the header, with the address that it began with.
    updates = edge.walks.updates(walk_id, max(last_event_id, last_event_header))
    told = tell(updates, status, lambda each: view_walk(each, owner), edge.config.streams)
    return EventStream(told, edge.seats.taken(owner, edge.config.limits), edge.config.streams)


@router.delete("/{walk_id}", responses=failures(403, 404, 409, 410), openapi_extra=SPEND)
async def end_walk(walk_id: WalkId, owner: Spender, edge: EdgeHere) -> WalkView:
    """Cancel a walk that runs, delete one that has ended."""
    return view_walk(await edge.walks.cancel(walk_id, owner), owner)


@router.post("/{walk_id}/feature", responses=failures(403, 404, 409, 410), openapi_extra=STAFF)
async def feature_walk(walk_id: WalkId, owner: Staff, edge: EdgeHere) -> WalkView:
    """Show a walk in the gallery."""
    return view_walk(await edge.walks.set_featured(walk_id, True), owner)


@router.delete("/{walk_id}/feature", responses=failures(403, 404, 409, 410), openapi_extra=STAFF)
async def unfeature_walk(walk_id: WalkId, owner: Staff, edge: EdgeHere) -> WalkView:
    """Show it no more."""
    return view_walk(await edge.walks.set_featured(walk_id, False), owner)


@router.post("/{walk_id}/takedown", status_code=204, responses=failures(403, 404, 410), openapi_extra=STAFF)
async def take_down_walk(walk_id: WalkId, _owner: Staff, edge: EdgeHere) -> None:
    """Remove a walk from everybody's sight."""
    await edge.walks.take_down(walk_id)
