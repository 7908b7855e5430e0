"""The REST API by its own OpenAPI document: schemathesis asks a real service for what it may and what it may not."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from momalisa.service.app import create_app
from momalisa.service.config import EdgeConfig, Limits
from momalisa.service.keys import hash_key
from tests.support.fake_walks import FakeWalks
from tests.support.served import served
from tests.support.small_sd import save_small_sd

KEY = "curator-of-the-tests"
LIMITS = {"max_frames": 6, "max_num_inference_steps": 2, "max_side": 64}
LIFE = {
    "gateway": {"limits": LIMITS, "streams": {"max_duration_s": 2.0}},
    "conductor": {"admission": {"max_running_per_owner": 50, "max_a_day_per_owner": 10_000}},
}
"""Walks that cost next to nothing; a stream that waits for one ends soon."""
CONFIG = {
    "seed": 1,
    "generation": {"max-examples": 15, "deterministic": True, "with-security-parameters": False},
    "checks": {"positive_data_acceptance": {"enabled": False}},  # it is asked by `_is_taken`
    "suppress-health-check": ["all"],
}


def _document() -> dict[str, Any]:
    """What such a service says of itself, known before it runs: there is a test for each operation."""
    edge = EdgeConfig(session_secrets=("s" * 32,), limits=Limits(**LIMITS), quick_num_frames=LIMITS["max_frames"])
    return create_app(FakeWalks(), edge).openapi()


api = schemathesis.openapi.from_dict(_document(), config=SchemathesisConfig.from_dict(CONFIG))


@pytest.fixture(scope="module")
def request_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """How the service is reached by its staff."""
    folder = tmp_path_factory.mktemp("served")
    model, keys, life = save_small_sd(folder / "small"), folder / "keys.jsonl", folder / "life.json"
    keys.write_text(json.dumps({"name": "curator", "sha256": hash_key(KEY), "is_staff": True}))
    life.write_text(json.dumps(LIFE))
    with served(folder, "--model", f"small={model}", "--keys", str(keys), "--config", str(life)) as service:
        yield {"base_url": service.url, "headers": {"Authorization": f"Bearer {KEY}"}}


def test_the_document_is_the_services_own(request_settings: dict[str, Any]) -> None:
    assert httpx.get(f"{request_settings['base_url']}/openapi.json").json() == _document()


@api.parametrize()
def test_an_operation_is_as_it_says(case: Any, request_settings: dict[str, Any]) -> None:
    case.call_and_validate(**request_settings, additional_checks=[_is_taken])


def test_what_is_made_can_be_looked_after(request_settings: dict[str, Any]) -> None:
    class Machine(api.as_state_machine()):  # type: ignore[misc]
        """One request after another, with the ids that those before gave."""

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return request_settings

        def validate_response(self, response: Any, case: Any, **given: Any) -> None:
            super().validate_response(response, case, additional_checks=[_is_taken], **given)

    few = settings(
        max_examples=8,
        stateful_step_count=6,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    Machine.run(settings=few)


def _is_taken(context: Any, response: Any, case: Any) -> bool | None:
    """Schemathesis's own check, but for what no schema can say."""
    is_gone = response.status_code == httpx.codes.GONE
    if is_gone or (response.status_code == 422 and _is_beyond_schemas(response.json())):
        return None
    checked: bool | None = positive_data_acceptance(context, response, case)
    return checked


def _is_beyond_schemas(problem: dict[str, Any]) -> bool:
    """Refused words; models, pictures and cursors that nobody has; fewer frames than waypoints; what is no picture."""
    fields = {error["field"] for error in problem.get("errors", [])}
    if fields:
        return fields <= {"model", "num_frames"}
    return problem["code"] == "refused_words" or "picture" in problem["detail"] or "cursor" in problem["detail"]
