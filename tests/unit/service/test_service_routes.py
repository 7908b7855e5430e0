"""Models, health, metrics, the page, Vertex AI, the first version's address."""

import base64

import pytest
from fastapi.testclient import TestClient

from momalisa.errors import ConfigError
from momalisa.service.config import EdgeConfig, Limits, VertexRoutes
from momalisa.service.middleware import CSP_OF_PAGES
from momalisa.service.site import load_site
from momalisa.service.uploads import sniff
from momalisa.walk.request import WalkRequest
from tests.support.fake_walks import FakeWalks
from tests.unit.service.conftest import SECRET, MakeApp, client_of, fields_of, problem_of

VERTEX = VertexRoutes(health="/vertex/health", predict="/vertex/predict")


@pytest.fixture
def walks() -> FakeWalks:
    return FakeWalks(ends_at_once=True)


def test_models(kiosk: TestClient) -> None:
    models = kiosk.get("/v1/models").json()["models"]

    assert [model["id"] for model in models] == ["tiny", "monet"]
    assert models[0] == {
        "id": "tiny",
        "title": "Tiny",
        "description": "",
        "size": 128,
        "is_default": True,
        "suggestions": ["blue dots on white"],
    }


def test_health(kiosk: TestClient, walks: FakeWalks) -> None:
    assert kiosk.get("/readyz").json() == {"status": "ready"}
    walks.is_now_ready = False
    assert kiosk.get("/healthz").json() == {"status": "ok"}
    problem_of(kiosk.get("/readyz"), 503, "unavailable")


def test_metrics(kiosk: TestClient, make_app: MakeApp) -> None:
    response = kiosk.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert response.text == "walks_total 3\n"
    problem_of(client_of(make_app(serves_metrics=False)).get("/metrics"), 404, "not_found")


def test_the_page(kiosk: TestClient) -> None:
    page = kiosk.get("/")

    assert page.text == "<title>momalisa</title>"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == CSP_OF_PAGES
    assert page.headers["cache-control"] == "private, no-cache"
    assert kiosk.get("/kiosk").text == page.text
    assert kiosk.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    assert kiosk.head("/").status_code == 200


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("app.js", "text/javascript; charset=utf-8"), ("i18n/de.json", "application/json")],
)
def test_what_the_page_loads(kiosk: TestClient, name: str, media_type: str) -> None:
    response = kiosk.get(f"/static/{name}")

    assert response.status_code == 200
    assert response.headers["content-type"] == media_type


@pytest.mark.parametrize(
    "name",
    [
        "",
        "missing.js",
        ".hidden.js",
        "notes.md",
        "out.txt",
        "i18n",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "i18n/..%2f..%2fsecret.txt",
        "%2fetc%2fpasswd",
        "app.js%00",
    ],
)
def test_nothing_else_is_served(kiosk: TestClient, name: str) -> None:
    problem_of(kiosk.get(f"/static/{name}"), 404, "not_found")


def test_without_a_folder_there_is_no_page(make_app: MakeApp, tmp_path_factory: pytest.TempPathFactory) -> None:
    problem_of(client_of(make_app(web_folder=None)).get("/"), 404, "not_found")
    with pytest.raises(ConfigError, match=r"index\.html"):
        load_site(tmp_path_factory.mktemp("empty"))


def test_the_first_versions_address(kiosk: TestClient, walks: FakeWalks) -> None:
    response = kiosk.get("/predict?word1=blue&word2=red")

    assert response.headers["content-type"] == "image/gif"
    assert response.content.startswith(b"GIF89a")
    (walk,) = walks.walks.values()
    assert [waypoint.prompt for waypoint in walk.request.waypoints] == ["blue", "red"]
    assert walk.request == WalkRequest(waypoints=walk.request.waypoints, num_frames=30)


def test_it_keeps_to_the_limits(make_app: MakeApp, walks: FakeWalks) -> None:
    client = client_of(make_app(limits=Limits(max_num_inference_steps=9)), key="kiosk-key")

    assert client.get("/predict?word1=blue&word2=red").status_code == 200
    assert walks.walks["walk-1"].request.num_inference_steps == 9


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("word1=a", "word2"),
        ("word1=a&word2=", "word2"),
        (f"word1={'x' * 501}&word2=b", "word1"),
        ("word1=%00a&word2=b", "word1"),
    ],
)
def test_words_that_cannot_be(kiosk: TestClient, query: str, field: str) -> None:
    assert list(fields_of(kiosk.get(f"/predict?{query}"))) == [field]


def test_refused_words_are_refused_there_too(kiosk: TestClient) -> None:
    problem_of(kiosk.get("/predict?word1=fuck&word2=b"), 422, "refused_words")


@pytest.mark.parametrize(("state", "status", "code"), [("failed", 503, "unavailable"), ("cancelled", 409, "conflict")])
def test_a_walk_that_is_waited_for_in_vain(
    kiosk: TestClient, walks: FakeWalks, state: str, status: int, code: str
) -> None:
    walks.finish = lambda walk_id, num_frames=3: walks.change(walk_id, state=state)  # type: ignore[method-assign]

    problem_of(kiosk.get("/predict?word1=a&word2=b"), status, code)


def test_vertex_ai(make_app: MakeApp, walks: FakeWalks) -> None:
    client = client_of(make_app(vertex=VERTEX, is_open=True))

    response = client.post(
        "/vertex/predict", json={"instances": [{"sample_key": ["a", "b"]}, {"sample_key": ["c", "d"]}]}
    )

    predictions = response.json()["predictions"]
    assert [len(frames) for frames in predictions] == [3, 3]
    assert sniff(base64.b64decode(predictions[0][0])) == "image/png"
    assert client.get("/vertex/health").status_code == 200
    walks.is_now_ready = False
    problem_of(client.get("/vertex/health"), 503, "unavailable")


@pytest.mark.parametrize(
    ("instances", "field"),
    [
        ([], "instances"),
        ([{"sample_key": ["a", "b"]}] * 5, "instances"),
        ([{"sample_key": ["a"]}], "instances.0.sample_key"),
        ([{"sample_key": ["a", " "]}], "instances.0.sample_key.1"),
        ([{"sample_key": ["a", "x" * 501]}], "instances.0.sample_key.1"),
        ([{"sample_key": ["a", "b"], "n": 1}], "instances.0.n"),
    ],
)
def test_instances_that_cannot_be(make_app: MakeApp, walks: FakeWalks, instances: list[object], field: str) -> None:
    client = client_of(make_app(vertex=VERTEX), key="kiosk-key")

    assert list(fields_of(client.post("/vertex/predict", json={"instances": instances}))) == [field]
    assert not walks.walks


def test_vertex_ai_is_not_there_unless_it_is_told_where(kiosk: TestClient) -> None:
    problem_of(kiosk.get("/vertex/health"), 404, "not_found")
    with pytest.raises(ValueError, match="begins with /"):
        VertexRoutes(health="health", predict="/predict")


def test_configs_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="too short"):
        EdgeConfig(session_secrets=("short",))
    with pytest.raises(ValueError, match="max_frames"):
        Limits(max_frames=10**6)
    with pytest.raises(ValueError, match="max_waypoints"):
        Limits(max_waypoints=0)
    with pytest.raises(ValueError, match="max_upload_bytes is 1000000000: take 67108864 at most"):
        Limits(max_upload_bytes=10**9)
    with pytest.raises(ValueError, match="quick_num_frames"):
        EdgeConfig(session_secrets=(SECRET,), quick_num_frames=1)
    assert SECRET not in repr(EdgeConfig(session_secrets=(SECRET,)))
