"""What strangers may try, on a real Ray Serve: it is refused as documented, and nothing else is worse for it."""

import http.client
import io
import json
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import httpx
import pytest
from PIL import Image

from momalisa.client import Client
from momalisa.errors import UnauthorizedError
from momalisa.service.keys import hash_key
from momalisa.storage import open_store
from tests.support.served import Served, served
from tests.support.small_sd import save_small_sd

_KEY, _STAFF_KEY = "a key of somebody's", "a key of the staff's"
_REQUEST_TIMEOUT_S = 12.0
_WALK = {"waypoints": [{"prompt": "dots"}, {"prompt": "waves"}], "num_frames": 8, "num_inference_steps": 4}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    model = save_small_sd(folder / "small")
    keys = [
        {"name": "somebody", "sha256": hash_key(_KEY)},
        {"name": "staff", "sha256": hash_key(_STAFF_KEY), "is_staff": True},
    ]
    (folder / "keys").write_text("\n".join(map(json.dumps, keys)))
    (folder / "life.json").write_text(
        json.dumps({"gateway": {"limits": {"request_timeout_s": _REQUEST_TIMEOUT_S, "max_prompt_length": 100}}})
    )
    flags = ("--model", f"small={model}", "--keys", str(folder / "keys"), "--config", str(folder / "life.json"))
    with served(folder, *flags) as running:
        yield running


@pytest.fixture(autouse=True)
def _is_healthy_afterwards(service: Served) -> Iterator[None]:
    gateway = [process.pid for process in service.replicas("gateway")]
    yield
    assert httpx.get(f"{service.url}/readyz", timeout=30).status_code == 200
    assert [process.pid for process in service.replicas("gateway")] == gateway


@pytest.fixture
def somebody(service: Served) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {_KEY}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=60) as client:
        yield client


@contextmanager
def visitor(service: Served) -> Iterator[httpx.Client]:
    """A browser with a session of its own."""
    with httpx.Client(base_url=service.url, headers={"X-Momalisa": "1"}, timeout=60) as client:
        client.get("/").raise_for_status()
        yield client


def is_refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem, which is as documented."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    return problem


def test_only_sessions_and_keys_may_ask(service: Served) -> None:
    is_refused(httpx.post(f"{service.url}/v1/walks", json=_WALK), 401, "unauthorized")
    with pytest.raises(UnauthorizedError):
        Client(service.url, key="wrong").walk("a", "b")
    settings = {"num_frames": 8, "num_inference_steps": 4}
    Client(service.url).walk("a", "b", **settings)  # a visitor's session
    Client(service.url, key=_KEY).walk("a", "b", **settings)


@pytest.mark.parametrize("length", [101, 200_000])
def test_a_prompt_that_is_too_long_is_named(somebody: httpx.Client, length: int) -> None:
    body = {**_WALK, "waypoints": [{"prompt": "dots"}, {"prompt": "w" * length}]}
    problem = is_refused(somebody.post("/v1/walks", json=body), 422, "invalid_request")
    assert [error["field"] for error in problem["errors"]] == ["waypoints.1.prompt"]


def test_a_prompt_of_a_megabyte_is_not_read(somebody: httpx.Client) -> None:
    body = {**_WALK, "waypoints": [{"prompt": "dots"}, {"prompt": "w" * (1 << 20)}]}
    is_refused(somebody.post("/v1/walks", json=body), 413, "too_large")


def test_a_body_without_its_length_is_counted(somebody: httpx.Client) -> None:
    chunks = (b" " * (64 << 10) for _ in range(16))
    headers = {"Content-Type": "application/json"}
    is_refused(somebody.post("/v1/walks", content=chunks, headers=headers), 413, "too_large")


def test_a_body_without_end_is_answered_and_kept_nowhere(service: Served) -> None:
    head = f"POST /v1/walks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {_KEY}\r\nContent-Type: application/json\r\n"
    chunk = b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
    before = memory_of(service)
    with connection(service) as stranger:
        stranger.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(1 << 14):  # a GiB
            stranger.sendall(chunk)
        assert stranger.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        # Ray Serve's proxy takes what comes until the gateway has answered, and throws away the rest.
        assert memory_of(service) - before < 300 << 20


def test_a_picture_that_is_huge_when_unpacked_is_refused_by_its_header(somebody: httpx.Client, service: Served) -> None:
    before = memory_of(service)
    bomb = png_of(20_000)
    assert len(bomb) < 100_000
    answer = somebody.post("/v1/pictures", content=bomb, headers={"Content-Type": "image/png"})
    is_refused(answer, 422, "invalid_request")
    assert memory_of(service) - before < 64 << 20


def test_a_files_name_is_nobodys_path(somebody: httpx.Client, service: Served) -> None:
    name = "../../../../etc/evil.png"
    form = {"file": (name, picture(), "image/png")}
    is_refused(somebody.post("/v1/pictures", files=form), 415, "unsupported_media")
    headers = {"Content-Type": "image/png", "Content-Disposition": f'attachment; filename="{name}"'}
    answer = somebody.post("/v1/pictures", content=picture(), headers=headers)
    assert answer.status_code == 201
    kept = [entry.key for entry in open_store(service.bucket).list("pictures")]
    assert f"pictures/{answer.json()['id']}.png" in kept
    assert not list(service.bucket.parent.rglob("*evil*"))
    body = {**_WALK, "waypoints": [{"prompt": "dots"}, {"picture": "../../session-secrets"}]}
    is_refused(somebody.post("/v1/walks", json=body), 422, "invalid_request")


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/static/../../../../../../etc/passwd",
        "/static/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2fetc%2fpasswd",
        "/static/..%5c..%5cetc%5cpasswd",
        "/v1/walks/..%2f..",
        "/v1/walks/..%2f..%2fsession-secrets",
        "/v1/walks/../../session-secrets",
        "/v1/walks/%2e%2e/animation.gif",
        "/v1/walks/x/frames/..%2f0.png",
        "/v1/walks/x%00y",
    ],
)
def test_no_path_leads_out(service: Served, path: str) -> None:
    with closing(http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=30)) as raw:
        raw.request("GET", path)  # as it is: other clients would tidy it up
        answer = raw.getresponse()
        body = answer.read()
    assert answer.status == 404
    assert json.loads(body)["code"] == "not_found"
    assert b"root:" not in body


def test_a_walk_is_its_owners(service: Served, somebody: httpx.Client) -> None:
    with visitor(service) as owner, visitor(service) as other:
        walk = owner.post("/v1/walks", json={**_WALK, "seed": 5}).json()
        path = f"/v1/walks/{walk['id']}"
        for stranger in (other, somebody):
            is_refused(stranger.delete(path), 403, "forbidden")
            is_refused(stranger.post(f"{path}/feature"), 403, "forbidden")
            is_refused(stranger.delete(f"{path}/feature"), 403, "forbidden")
            is_refused(stranger.post(f"{path}/takedown"), 403, "forbidden")
        is_refused(httpx.delete(service.url + path), 401, "unauthorized")
        is_refused(owner.delete(path, headers={"X-Momalisa": "0"}), 403, "forbidden")  # from another site's page
        cookie = owner.cookies["momalisa_session"]
        forged = {"Cookie": f"momalisa_session={cookie[:-4]}AAAA", "X-Momalisa": "1"}
        is_refused(httpx.delete(service.url + path, headers=forged), 401, "unauthorized")
        assert other.get("/v1/walks", params={"list": "mine"}).json()["walks"] == []
        while (seen := owner.get(path).json())["state"] not in ("done", "failed", "cancelled"):
            time.sleep(0.3)
        assert (seen["state"], seen["is_featured"], seen["is_mine"]) == ("done", False, True)
        is_refused(other.delete(path), 403, "forbidden")  # which would delete it now
        assert owner.get(path).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-request-timeout-seconds", "0.000001"),
        ("x-request-timeout-seconds", "nonsense"),
        ("x_request_timeout_seconds", "0.000001"),
        ("x-request-disconnect-disabled", "?1"),
        ("serve-multiplexed-model-id", "nonsense"),
        ("serve_multiplexed_model_id", "nonsense"),
        ("x-session-id", "nonsense"),
        ("x-serve-router-replica-id", "nonsense"),
    ],
)
def test_a_header_that_ray_serve_would_obey_is_taken_away(somebody: httpx.Client, name: str, value: str) -> None:
    assert somebody.get("/v1/me", headers={name: value}).json()["kind"] == "key"
    is_refused(somebody.get("/v1/walks/none", headers={name: value}), 404, "not_found")


def test_clients_that_send_half_a_request_hold_up_nobody(service: Served, somebody: httpx.Client) -> None:
    head = f"POST /v1/walks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {_KEY}\r\nContent-Type: application/json\r\n"
    with ExitStack() as stack:
        slow = [stack.enter_context(connection(service)) for _ in range(100)]
        for number, stranger in enumerate(slow):
            stranger.sendall(head.encode() + (b"Content-Length: 1000\r\n\r\n{" if number % 2 else b""))
        began = time.monotonic()
        assert somebody.get("/healthz").status_code == 200
        answer = somebody.post("/v1/walks", json={**_WALK, "seed": 6})
        assert answer.status_code == 202
        assert time.monotonic() - began < 0.8 * _REQUEST_TIMEOUT_S  # it did not wait for them to be cut off
        slow[1].settimeout(3 * _REQUEST_TIMEOUT_S)
        answered = slow[1].recv(1 << 16)
    assert answered.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after" in answered.lower()


def memory_of(service: Served) -> int:
    """Of the processes that a request goes through."""
    titles = ("ray::ProxyActor", "ray::ServeReplica:momalisa:gateway")
    return sum(process.memory_info().rss for title in titles for process in service.processes(title))


def connection(service: Served) -> socket.socket:
    """One without an HTTP client."""
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    return file.getvalue()


def png_of(side: int) -> bytes:
    """A black square, each pixel of which is a bit."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((side // 8 + 1) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
