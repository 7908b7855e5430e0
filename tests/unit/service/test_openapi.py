import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from momalisa.service.config import Limits, VertexRoutes
from tests.unit.service.conftest import MakeApp, client_of

VERTEX = VertexRoutes(health="/vertex/health", predict="/vertex/predict")


@pytest.fixture
def document(make_app: MakeApp) -> dict[str, Any]:
    response = client_of(make_app(vertex=VERTEX, limits=Limits(max_frames=77))).get("/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method} {path}", operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from ([part["$ref"]] if isinstance(part.get("$ref"), str) else [])
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))

    assert "#/components/schemas/Problem" in found
    for reference in found:
        target: Any = document
        for name in reference.removeprefix("#/").split("/"):
            target = target[name]


def test_every_route_is_described(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]

    assert document["info"] | {"title": "momalisa walks", "version": "v1"} == document["info"]
    assert len(ids) == len(set(ids)) == 23
    tags = {tag["name"] for tag in document["tags"]}
    for name, operation in operations(document):
        assert operation["description"], name
        assert set(operation["tags"]) <= tags, name
        assert "security" in operation, name


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        failures = {status: each for status, each in operation["responses"].items() if status >= "400"}
        assert {"401", "413", "422", "503"} <= set(failures), name
        for status, response in failures.items():
            assert list(response["content"]) == ["application/problem+json"], (name, status)
        assert "Retry-After" in failures["503"]["headers"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_paths_have_their_parameters(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            given = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
            assert given == set(re.findall(r"{(\w+)}", path))
    headers = {each["name"] for each in document["paths"]["/v1/walks"]["post"]["parameters"]}
    assert headers == {"Idempotency-Key", "X-Momalisa"}


def test_limits_are_those_of_the_service(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["WalkCreate"]["properties"]["num_frames"]["maximum"] == 77


def test_who_may_is_told(make_app: MakeApp, document: dict[str, Any]) -> None:
    spends = document["paths"]["/v1/walks"]["post"]["security"]
    is_open = client_of(make_app(is_open=True)).get("/openapi.json").json()

    assert spends == [{"key": []}, {"session": []}]
    assert is_open["paths"]["/v1/walks"]["post"]["security"] == [{}, *spends]
    assert set(document["components"]["securitySchemes"]) == {"key", "session"}


def test_the_page_of_documentation_is_off(kiosk: TestClient) -> None:
    for path in ("/docs", "/redoc"):
        assert kiosk.get(path).status_code == 404


def test_importing_loads_neither_torch_nor_ray() -> None:
    code = "import sys, momalisa.service.app; sys.exit(bool({'torch', 'ray', 'diffusers'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
