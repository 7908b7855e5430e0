"""The OpenAPI document: what FastAPI finds out by itself, and what it cannot know."""

from http import HTTPStatus
from typing import Any, TypeAlias

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from momalisa.service import problems
from momalisa.service.answers import Problem
from momalisa.service.config import EdgeConfig, Limits
from momalisa.service.visitors import COOKIE

TITLE = "momalisa walks"
VERSION = "v1"
Responses: TypeAlias = dict[int | str, dict[str, Any]]
"""Of a route, by status."""
_DESCRIPTION = """Walks between prompts, drawn by models that learnt an art collection.

Programs send a key (`Authorization: Bearer …`). Browsers have a session's cookie, which every page and every answer
to a GET may set; with it, whatever changes something needs the header `X-Momalisa: 1`.
"""
_TAGS = [
    {"name": "walks", "description": "Ask for walks, watch them come, look after them."},
    {"name": "results", "description": "What a walk has become: animations, frames, how smooth it is."},
    {"name": "pictures", "description": "Pictures of a visitor's own as waypoints, and single pictures."},
    {"name": "service", "description": "Models, limits, health."},
    {"name": "others", "description": "Contracts of others: Vertex AI, and the address of the first version."},
]
_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A visitor's session."},
}
_RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
_ALWAYS = (401, 413, 422, 500, 503)
"""A key that is unknown, an address that is too long, a value that cannot be, trouble, and no time."""

READ: dict[str, Any] = {"security": [{}, {"key": []}, {"session": []}]}
SPEND: dict[str, Any] = {"security": [{"key": []}, {"session": []}]}
STAFF: dict[str, Any] = {"security": [{"key": []}]}
PUBLIC: dict[str, Any] = {"security": []}


def failures(*statuses: int) -> Responses:
    """Of a route: the problems that it may answer with."""
    return {status: _problem_response(status) for status in sorted({*statuses, *_ALWAYS})}


def file_response(*media_types: str) -> dict[str, Any]:
    """Of a route: that it answers with a file."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}
    return {"description": "The file", "content": content, "headers": {"ETag": {"schema": {"type": "string"}}}}


def ranged(*media_types: str) -> Responses:
    """Of a route: that it answers with a file, a part of it, or word that the client has it."""
    part = file_response(*media_types) | {"description": "The part that was asked for"}
    return {200: file_response(*media_types), 206: part, 304: {"description": "It has not changed"}} | failures(
        404, 410, 416
    )


def install(app: FastAPI, config: EdgeConfig) -> None:
    """Has the application give this document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, config)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # as FastAPI has it done


def _document(app: FastAPI, config: EdgeConfig) -> dict[str, Any]:
    made = get_openapi(title=TITLE, version=VERSION, description=_DESCRIPTION, routes=app.routes, tags=_TAGS)
    components = made.setdefault("components", {})
    components["securitySchemes"] = _SCHEMES
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {})
    schemas["Problem"] = problem
    _show_limits(schemas, config.limits)
    if config.is_open:
        for operation in (each for path in made["paths"].values() for each in path.values()):
            if operation.get("security") == SPEND["security"]:
                operation["security"] = READ["security"]
    return made


def _show_limits(schemas: dict[str, Any], limits: Limits) -> None:
    """This service's own limits, where the schemas have those of any."""
    walk, waypoint, image = (schemas[name]["properties"] for name in ("WalkCreate", "WaypointCreate", "ImageCreate"))
    walk["waypoints"]["maxItems"] = limits.max_waypoints
    _show_most(walk["num_frames"], limits.max_frames)
    for fields in (walk, image):
        _show_most(fields["num_inference_steps"], limits.max_num_inference_steps)
        fields["height"]["anyOf"][0]["maximum"] = fields["width"]["anyOf"][0]["maximum"] = limits.max_side
    for text in (waypoint["prompt"], waypoint["negative_prompt"]["anyOf"][0], walk["negative_prompt"]):
        text["maxLength"] = limits.max_prompt_length
    instances = schemas.get("VertexRequest", {}).get("properties", {}).get("instances", {})
    instances["maxItems"] = limits.max_instances
    for text in (image["prompt"], image["negative_prompt"]):
        text["maxLength"] = limits.max_prompt_length


def _show_most(field: dict[str, Any], most: int) -> None:
    field["maximum"] = most
    field["default"] = min(field["default"], most)


def _problem_response(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        response["headers"] = _RETRY_AFTER
    return response
