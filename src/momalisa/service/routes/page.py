"""The page for people."""

from fastapi import APIRouter, Request, Response

from momalisa.errors import ObjectNotFoundError
from momalisa.service.edge import Caller, EdgeHere
from momalisa.service.files import File, answer_file
from momalisa.service.middleware import CSP_OF_PAGES
from momalisa.service.site import REVALIDATED

router = APIRouter(include_in_schema=False)
_METHODS = ["GET", "HEAD"]


@router.api_route("/", methods=_METHODS)
async def show_page(request: Request, _owner: Caller, edge: EdgeHere) -> Response:
    """The page; it gives a visitor a session."""
    return _page(request, edge.site, "index.html")


@router.api_route("/kiosk", methods=_METHODS)
async def show_kiosk(request: Request, _owner: Caller, edge: EdgeHere) -> Response:
    """The page for screens that everybody uses."""
    return _page(request, edge.site, "kiosk.html" if "kiosk.html" in edge.site else "index.html")


@router.api_route("/static/{path:path}", methods=_METHODS)
async def show_static(path: str, request: Request, edge: EdgeHere) -> Response:
    """What the page loads."""
    return _page(request, edge.site, path)


def _page(request: Request, site: dict[str, File], name: str) -> Response:
    if name not in site:
        raise ObjectNotFoundError(f"no file {name!r} in the web folder")
    response = answer_file(request, site[name], cache_control=REVALIDATED)
    response.headers["Content-Security-Policy"] = CSP_OF_PAGES
    return response
