"""From what the walk service says to what REST gives."""

from datetime import UTC, datetime

from momalisa.service.answers import (
    Cost,
    LimitsView,
    Links,
    MeView,
    ModelView,
    Progress,
    QuotaView,
    SettledWalk,
    SettledWaypoint,
    WalkFailure,
    WalkList,
    WalkView,
)
from momalisa.service.config import Limits
from momalisa.service.port import ModelInfo, Owner, Page, Quota, WalkStatus
from momalisa.walk.request import WalkRequest, Waypoint


def view_walk(status: WalkStatus, owner: Owner) -> WalkView:
    """A walk as its owner, or somebody else, sees it."""
    return WalkView(
        id=status.id,
        state=status.state,
        created_at=_utc(status.created_at),
        ended_at=None if status.ended_at is None else _utc(status.ended_at),
        request=_view_request(status.request),
        progress=view_progress(status),
        cost=Cost(
            unet_evaluations_bound=status.unet_evaluations_bound,
            unet_evaluations=status.unet_evaluations,
            seconds_estimated=status.seconds_estimated,
        ),
        error=_view_failure(status),
        is_mine=status.owner == owner.name,
        is_featured=status.is_featured,
        num_frames=status.num_frames_shown,
        duration_s=status.duration_s,
        links=_links(status.id),
    )


def view_progress(status: WalkStatus) -> Progress:
    """How far a walk is."""
    return Progress(
        frames_done=status.num_frames_done,
        frames_total=status.num_frames_total,
        queue_position=status.queue_position,
        eta_s=status.eta_s,
    )


def view_page(page: Page, owner: Owner) -> WalkList:
    """A page of walks."""
    return WalkList(walks=[view_walk(status, owner) for status in page.walks], next_cursor=page.next_cursor)


def view_model(model: ModelInfo) -> ModelView:
    """A model that is served."""
    return ModelView(
        id=model.id,
        title=model.title,
        description=model.description,
        size=model.size,
        is_default=model.is_default,
        suggestions=list(model.suggestions),
    )


def view_me(owner: Owner, quota: Quota, limits: Limits) -> MeView:
    """Who asks, and what they may."""
    return MeView(
        kind=owner.kind,
        is_staff=owner.is_staff,
        limits=LimitsView(
            max_waypoints=limits.max_waypoints,
            max_frames=limits.max_frames,
            max_prompt_length=limits.max_prompt_length,
            max_upload_bytes=limits.max_upload_bytes,
            max_num_inference_steps=limits.max_num_inference_steps,
        ),
        quota=QuotaView(
            running=quota.running, max_running=quota.max_running, today=quota.today, max_a_day=quota.max_a_day
        ),
    )


def _view_request(request: WalkRequest) -> SettledWalk:
    return SettledWalk(
        waypoints=[_view_waypoint(waypoint) for waypoint in request.waypoints],
        model=request.model,
        num_frames=request.num_frames,
        shape=request.shape,
        easing=request.easing,
        mode=request.mode,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        negative_prompt=request.negative_prompt,
        seed=request.seed,
        strength=request.strength,
        frames_per_second=request.frames_per_second,
        height=request.height,
        width=request.width,
    )


def _view_waypoint(waypoint: Waypoint) -> SettledWaypoint:
    return SettledWaypoint(
        prompt=waypoint.prompt,
        picture=waypoint.picture_sha256,
        negative_prompt=waypoint.negative_prompt,
        guidance_scale=waypoint.guidance_scale,
        seed=waypoint.seed,
        hold_s=waypoint.hold_s,
    )


def _view_failure(status: WalkStatus) -> WalkFailure | None:
    if status.error_code is None:
        return None
    return WalkFailure(code=status.error_code, detail=status.error_detail or "")


def _links(walk_id: str) -> Links:
    here = f"/v1/walks/{walk_id}"
    return Links(
        self=here,
        events=f"{here}/events",
        gif=f"{here}/animation.gif",
        mp4=f"{here}/animation.mp4",
        webp=f"{here}/animation.webp",
        report=f"{here}/report",
        report_picture=f"{here}/report.png",
        frame=f"{here}/frames/{{n}}.png",
        page=f"/#/walks/{walk_id}",
    )


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)
