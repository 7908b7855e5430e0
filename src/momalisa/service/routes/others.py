"""Contracts of others: Vertex AI's, and the address that the first version had. Walks here are waited for."""

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from momalisa.service.answers import HealthView, VertexAnswer
from momalisa.service.config import VertexRoutes
from momalisa.service.edge import Edge, EdgeHere, Spender, needs_json
from momalisa.service.openapi import PUBLIC, SPEND, failures, file_response
from momalisa.service.port import Owner, WalkStatus
from momalisa.service.routes.service import is_ready
from momalisa.service.schemas import Prompt, VertexRequest
from momalisa.service.settle import choose_model, prompts_of, settle_quick
from momalisa.service.waiting import frames_of, until_done

router = APIRouter(tags=["others"])

Word = Annotated[Prompt, Query(description="a prompt")]


@router.get(
    "/predict",
    response_class=Response,
    responses=failures(409, 410, 429) | {200: file_response("image/gif")},
    openapi_extra=SPEND,
)
async def predict(word1: Word, word2: Word, owner: Spender, edge: EdgeHere) -> Response:
    """A walk from one prompt to another as GIF. Where it takes too long (503), ask again: it goes on meanwhile."""
    (status,) = await _submit([{"word1": word1, "word2": word2}], owner, edge)
    await until_done(edge.walks, status)
    return Response(await edge.walks.animation(status.id, "gif"), media_type="image/gif")


def vertex_router(routes: VertexRoutes) -> APIRouter:
    """What Vertex AI calls, where it wants it."""
    made = APIRouter(tags=["others"])
    made.add_api_route(routes.health, vertex_health, responses=failures(), openapi_extra=PUBLIC)
    made.add_api_route(
        routes.predict,
        vertex_predict,
        methods=["POST"],
        dependencies=[Depends(needs_json)],
        responses=failures(403, 409, 410, 415, 429),
        openapi_extra=SPEND,
    )
    return made


async def vertex_health(edge: EdgeHere) -> HealthView:
    """Whether it can be sent requests."""
    return await is_ready(edge)


async def vertex_predict(asked: VertexRequest, owner: Spender, edge: EdgeHere) -> VertexAnswer:
    """A walk for each instance, as its frames."""
    started = await _submit(prompts_of(asked.instances, edge.limits), owner, edge)
    done = [await until_done(edge.walks, status) for status in started]
    frames = [await frames_of(edge.walks, status) for status in done]
    return VertexAnswer(predictions=[[base64.b64encode(png).decode() for png in walk] for walk in frames])


async def _submit(walks: Sequence[Mapping[str, str]], owner: Owner, edge: Edge) -> list[WalkStatus]:
    """All are checked before the first is begun."""
    model = choose_model(None, await edge.walks.models())
    requests = [
        settle_quick(prompts, model=model, num_frames=edge.config.quick_num_frames, limits=edge.limits)
        for prompts in walks
    ]
    await edge.moderator.check_prompts([prompt for prompts in walks for prompt in prompts.values()])
    return [await edge.walks.submit(request, owner) for request in requests]
