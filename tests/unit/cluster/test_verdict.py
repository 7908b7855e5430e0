"""A verdict for each kind of fact."""

import json
from dataclasses import replace

import pytest

from momalisa.cluster.verdict import State, verdict
from tests.unit.cluster.recorded import CASES, load


@pytest.mark.parametrize("case", CASES)
def test_the_verdict(case: str) -> None:
    facts, expected = load(case)
    given = verdict(facts)
    assert given.state == expected["state"], given
    assert expected["headline"] in given.headline
    assert expected.get("fix", "") in (given.fix or "")
    assert given.cause == expected.get("cause")
    assert given.exit_code == expected.get("exit_code")
    for several in ("details", "evidence", "unknown"):
        assert expected.get(several, "") in "\n".join(getattr(given, several)), several


@pytest.mark.parametrize("case", CASES)
def test_every_verdict_is_json_and_says_who_said_so(case: str) -> None:
    facts, _ = load(case)
    given = verdict(facts)
    assert json.loads(json.dumps(given.as_json()))["state"] == given.state
    assert given.headline
    assert "\n" not in given.headline
    if given.state in {State.FAILED, State.BLOCKED, State.RETRYING}:
        assert given.evidence
        assert given.fix


@pytest.mark.parametrize("case", CASES)
def test_a_user_who_may_see_the_rayjob_alone_gets_a_verdict_too(case: str) -> None:
    facts, _ = load(case)
    if facts.job is None:
        return
    refused = {"pods": "no", "events": "no", "RayCluster": "no", "run's folder": "no"}
    given = verdict(replace(facts, cluster=None, pods=(), events=(), log_tail=(), run=None, unknown=refused))
    assert len(given.unknown) == 4
    assert given.headline


@pytest.mark.parametrize("case", [case for case in CASES if load(case)[1].get("exit_code") is None])
def test_only_what_is_over_has_an_exit_code(case: str) -> None:
    facts, _ = load(case)
    assert not verdict(facts).is_over
