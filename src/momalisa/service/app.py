"""The application: routes, errors, and what holds for all of them, put together."""

from fastapi import FastAPI
from fastapi.routing import APIRoute

from momalisa.service import openapi, problems
from momalisa.service.config import EdgeConfig
from momalisa.service.edge import Edge
from momalisa.service.events import Seats
from momalisa.service.keys import KeyRing
from momalisa.service.middleware import Bounds, Envelope
from momalisa.service.moderation import build_moderator
from momalisa.service.port import Walks
from momalisa.service.routes import others, page, pictures, results, service
from momalisa.service.routes import walks as walk_routes
from momalisa.service.site import load_site
from momalisa.service.uploads import Uploads
from momalisa.service.visitors import Visitors


def create_app(walks: Walks, config: EdgeConfig, *, seats: Seats | None = None) -> FastAPI:
    """The REST edge of a walk service. `seats`: of an edge whose place this one takes, whose open streams still count.

    Raises ConfigError for keys, session secrets, a page or lists of words that cannot be read.
    """
    app = FastAPI(
        title=openapi.TITLE,
        version=openapi.VERSION,
        docs_url=None,  # the documentation's page would load scripts of others
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_name,
    )
    app.state.edge = _build_edge(walks, config, seats or Seats())
    for router in (walk_routes.router, results.router, pictures.router, service.router, others.router, page.router):
        app.include_router(router)
    if config.serves_metrics:
        app.include_router(service.metrics_router)
    if config.vertex is not None:
        app.include_router(others.vertex_router(config.vertex))
    problems.install(app)
    openapi.install(app, config)
    app.add_middleware(Bounds, limits=config.limits, upload_path=pictures.UPLOAD_PATH)
    app.add_middleware(Envelope)  # the last one added is the outermost
    return app


def _build_edge(walks: Walks, config: EdgeConfig, seats: Seats) -> Edge:
    return Edge(
        walks=walks,
        config=config,
        keys=KeyRing(config.keys_file) if config.keys_file is not None else None,
        visitors=_visitors(config) if config.has_visitors else None,
        moderator=build_moderator(config.moderation),
        uploads=Uploads(config.limits),
        seats=seats,
        site=load_site(config.web_folder),
    )


def _visitors(config: EdgeConfig) -> Visitors:
    if config.session_secrets_file is not None:
        return Visitors.of_file(config.session_secrets_file)
    return Visitors(lambda: config.session_secrets)


def _name(route: APIRoute) -> str:
    return route.name
