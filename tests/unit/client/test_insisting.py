"""What may pass is asked again, on both faces of the client; no time passes but what is slept."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from momalisa.client import Patience
from momalisa.errors import BusyError, InputError, ServiceError, UnavailableError
from tests.unit.client.conftest import Connect
from tests.unit.client.fake_service import Body, FakeService, FakeTime, busy, problem


def test_retry_after_is_obeyed(client: Any, service: FakeService, fake_time: FakeTime) -> None:
    service.fail("POST", "/v1/walks", busy("7"))
    service.fail("POST", "/v1/walks", problem(503, "unavailable", "a moment", retry_after_s=3))
    client.walk("a", "b", wait=False)
    first, second = fake_time.slept
    assert 7 <= first <= 7.5
    assert 3 <= second <= 4
    assert len(service.walks) == 1


def test_retry_after_as_a_date_counts_from_the_answers_own_date(
    client: Any, service: FakeService, fake_time: FakeTime
) -> None:
    now = datetime(2001, 2, 3, tzinfo=UTC)
    answer = busy(format_datetime(now + timedelta(seconds=20), usegmt=True))
    answer.headers["Date"] = format_datetime(now, usegmt=True)
    service.fail("GET", "/v1/me", answer)
    service.fail("GET", "/v1/me", busy("some day"))
    client.me()
    assert 20 <= fake_time.slept[0] <= 20.5
    assert fake_time.slept[1] <= 1


def test_the_deadline_bounds_what_the_service_asks_for(client: Any, service: FakeService, fake_time: FakeTime) -> None:
    service.fail("POST", "/v1/walks", busy("3600"))
    with pytest.raises(BusyError, match="come back later") as caught:
        client.walk("a", "b")
    assert caught.value.retry_after_s == 3600
    assert not fake_time.slept


def test_patience_ends(connect: Connect, service: FakeService, fake_time: FakeTime) -> None:
    for _ in range(100):
        service.fail("GET", "/v1/me", problem(503, "unavailable", "starting"))
    with pytest.raises(UnavailableError, match="starting"):
        connect("right", patience=Patience(deadline_s=30)).me()
    assert 10 < sum(fake_time.slept) <= 30


def test_a_walk_whose_answer_is_lost_is_not_made_twice(client: Any, service: FakeService) -> None:
    for lost in (httpx.ReadTimeout(""), httpx.RemoteProtocolError("cut")):
        service.fail("POST", "/v1/walks", lost, only_the_answer=True)
    service.fail("POST", "/v1/walks", httpx.Response(502, text="bad gateway"), only_the_answer=True)
    walk = client.walk("a", "b", wait=False)
    client.walk("a", "b", wait=False)
    assert walk.id == "w1"
    assert list(service.walks) == ["w1", "w2"]
    assert len({request.headers["idempotency-key"] for request in service.asked("POST", "/v1/walks")}) == 2


def test_no_connection_is_told_after_some_attempts(client: Any, service: FakeService, fake_time: FakeTime) -> None:
    for _ in range(20):
        service.fail("GET", "/v1/models", httpx.ConnectError("refused"))
    with pytest.raises(UnavailableError, match=r"ConnectError: refused.* Check the URL") as caught:
        client.models()
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert len(service.requests) == 6
    assert sum(fake_time.slept) <= 0.5 + 1 + 2 + 4 + 8


def test_an_image_is_not_drawn_twice(client: Any, service: FakeService) -> None:
    service.fail("POST", "/v1/images", httpx.ConnectTimeout("slow"))  # never got there
    service.fail("POST", "/v1/images", busy("1"))  # was not drawn
    service.fail("POST", "/v1/images", httpx.ReadTimeout(""), only_the_answer=True)
    with pytest.raises(UnavailableError, match="may have been done all the same"):
        client.image("dots")
    assert len(service.requests) == 3
    service.fail("POST", "/v1/images", httpx.Response(504))
    with pytest.raises(UnavailableError, match="status 504"):
        client.image("dots")


def test_a_cut_download_is_fetched_again(client: Any, service: FakeService) -> None:
    service.fail("GET", "/v1/models", httpx.Response(200, stream=Body(iter([b'{"mod', httpx.ReadError("cut")]))))
    assert client.models()[0].id == "tiny"


def test_cancelling_when_the_answer_is_lost_deletes_nothing(client: Any, service: FakeService) -> None:
    walk = client.walk("a", "b", wait=False)
    service.fail("DELETE", "/v1/walks/w1", httpx.ReadError("cut"), only_the_answer=True)
    walk.cancel()
    assert walk.state == service.walks["w1"].state == "cancelled"


def test_cancelling_that_never_got_there_is_tried_again(client: Any, service: FakeService) -> None:
    walk = client.walk("a", "b", wait=False)
    service.fail("DELETE", "/v1/walks/w1", httpx.ConnectError("refused"))
    walk.cancel()
    assert service.walks["w1"].state == "cancelled"
    walk = client.walk("a", "b", wait=False)
    service.fail("DELETE", "/v1/walks/w2", httpx.ReadError("cut"))
    with pytest.raises(UnavailableError):
        walk.cancel()


def test_deleting_when_the_answer_is_lost(client: Any, service: FakeService) -> None:
    walk = client.walk("a", "b")
    service.fail("DELETE", "/v1/walks/w1", httpx.ReadError("cut"), only_the_answer=True)
    walk.delete()
    assert not service.walks


def test_a_walk_that_cannot_be_deleted(client: Any, service: FakeService) -> None:
    walk = client.walk("a", "b")
    for _ in range(3):
        service.fail("DELETE", "/v1/walks/w1", httpx.Response(200, json=service.walks["w1"].view()))
    with pytest.raises(ServiceError, match="still there"):
        walk.delete()


def test_no_retry_where_it_would_not_help(client: Any, service: FakeService, fake_time: FakeTime) -> None:
    service.fail("GET", "/v1/me", problem(422, "invalid_request", "no"))
    with pytest.raises(InputError):
        client.me()
    service.fail("GET", "/v1/me", httpx.UnsupportedProtocol("no"))
    with pytest.raises(InputError, match="URL"):
        client.me()
    assert not fake_time.slept


def test_patience_that_cannot_be() -> None:
    with pytest.raises(InputError, match="below 0"):
        Patience(deadline_s=-1)
