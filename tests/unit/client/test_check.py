"""What `helm test` runs."""

import asyncio
import itertools
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from momalisa.client import check as module
from momalisa.client.asking import Patience
from momalisa.client.check import main
from momalisa.service.app import create_app
from momalisa.service.config import EdgeConfig
from tests.support.fake_walks import FakeWalks
from tests.unit.client.fake_service import FakeService
from tests.unit.client.test_contract import Blocking

URL = "http://service.test"


class WithPage(FakeService):
    """What the page's address and /readyz answer, too."""

    page: bytes = b"<!doctype html><html></html>"
    animation: bytes = b"GIF89a and so on"
    is_ready: bool = True

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/readyz":
            return httpx.Response(200 if self.is_ready else 404)
        if request.url.path.endswith("/animation.gif"):
            return httpx.Response(200, content=self.animation)
        if request.url.path == "/":
            return httpx.Response(200, content=self.page)
        return super()._answer(request)


@pytest.fixture
def service() -> WithPage:
    return WithPage()


def check(service: WithPage, *flags: str) -> int:
    return main([URL, "--timeout-s", "5", *flags], transport=httpx.MockTransport(service))


def test_a_service_that_does_what_it_should(service: WithPage, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(service, "--page", "--walk") == 0
    told = capsys.readouterr().out
    assert "ready" in told
    assert "the page is there" in told
    assert "served: tiny" in told
    assert "6 frames" in told
    assert service.asked("POST", "/v1/walks")


def test_an_animation_that_is_none(service: WithPage, capsys: pytest.CaptureFixture[str]) -> None:
    service.animation = b"<html>"
    assert check(service, "--walk") == 1
    assert "is no GIF" in capsys.readouterr().err


def test_without_a_walk_nothing_is_asked_for(service: WithPage) -> None:
    assert check(service) == 0
    assert {request.method for request in service.requests} == {"GET"}


def test_a_page_that_is_none(service: WithPage, capsys: pytest.CaptureFixture[str]) -> None:
    service.page = b"{}"
    assert check(service, "--page") == 1
    assert "is no page" in capsys.readouterr().err


def test_a_service_that_is_not_there(service: WithPage, capsys: pytest.CaptureFixture[str]) -> None:
    service.is_ready = False
    assert check(service) == 1
    assert "error:" in capsys.readouterr().err


def test_a_visitor_s_cookie_comes_back_by_clear_http(service: WithPage) -> None:
    assert check(service, "--walk") == 0
    assert {request.headers["host"] for request in service.requests} == {"localhost"}
    assert "momalisa_session=visitor1" in service.asked("POST", "/v1/walks")[0].headers["cookie"]


def test_with_a_key(service: WithPage, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("right\n")
    assert check(service, "--walk", "--key-file", str(tmp_path / "key")) == 0
    assert service.asked("POST", "/v1/walks")[0].headers["authorization"] == "Bearer right"
    assert check(service, "--key-file", str(tmp_path / "none")) == 2


@pytest.mark.parametrize("has_visitors", [True, False])
def test_against_the_service_s_own_application(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], has_visitors: bool
) -> None:
    """By clear HTTP, as within a cluster."""
    (tmp_path / "index.html").write_text("<!doctype html><html></html>")
    config = EdgeConfig(session_secrets=("s" * 32,), has_visitors=has_visitors, web_folder=tmp_path)
    with asyncio.Runner() as runner:
        transport = Blocking(create_app(FakeWalks(ends_at_once=True), config), runner)
        code = main(["http://walks-serve-svc:8000", "--page", "--walk", "--timeout-s", "5"], transport=transport)
    told = capsys.readouterr()
    assert code == (0 if has_visitors else 1), told
    assert ("6 frames" in told.out) == has_visitors


def test_the_time_is_for_all_of_it(service: WithPage, monkeypatch: pytest.MonkeyPatch) -> None:
    patiences: list[float] = []

    def patience(*, deadline_s: float, max_disconnects: int) -> Patience:
        patiences.append(deadline_s)
        return Patience(deadline_s=deadline_s, max_disconnects=max_disconnects)

    seconds = itertools.count()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(module, "Patience", patience)
    assert check(service, "--page", "--walk") == 0
    assert patiences == [4, 3, 2]
