"""Which revision is gone back to."""

from dataclasses import replace
from typing import Any

import pytest

from momalisa.release.facts import ReleaseFacts
from momalisa.release.going_back import way_back, why_no_way
from momalisa.release.helm import KeptRelease
from tests.unit.release.examples import ray_service
from tests.unit.release.test_comparing import served, with_image
from tests.unit.release.test_verdict import OLD, facts, first, upgrading

GOOD, OTHER_IMAGE = ray_service(), ray_service(cluster=with_image("momalisa:2"))
BAD, WORSE = (ray_service(serve=served(user_config={"limits": {"max_frames": n}})) for n in (1, 2))


def revisions(*services: Any, **statuses: str) -> list[KeptRelease]:
    """The newest first. A number: a rollback to it. statuses: by `r2`, `superseded` where none is given."""
    found: list[KeptRelease] = []
    for number, service in enumerate(services, start=1):
        is_rollback = isinstance(service, int)
        found.append(
            KeptRelease(
                revision=number,
                status=statuses.get(f"r{number}", "superseded"),
                description=f"Rollback to {service}" if is_rollback else "Upgrade complete",
                chart="momalisa-0.1.0",
                values={},
                manifests=found[service - 1].manifests if is_rollback else (service, {"kind": "Secret"}),
            )
        )
    return found[::-1]


@pytest.mark.parametrize(
    ("found", "kept", "revision"),
    [
        (upgrading(), revisions(GOOD, OTHER_IMAGE), 1),
        (upgrading(), revisions(OTHER_IMAGE, GOOD, OTHER_IMAGE), 2),
        (upgrading(), revisions(GOOD, BAD, OTHER_IMAGE), 2),
        (upgrading(), revisions(GOOD, BAD, OTHER_IMAGE, r2="failed"), 1),
        (upgrading(), revisions(GOOD, OTHER_IMAGE, OTHER_IMAGE, r2="failed", r3="failed"), 1),
        # In place: each time further back, and past what is the same.
        (facts(), revisions(GOOD, BAD, WORSE), 2),
        (facts(), revisions(GOOD, BAD, WORSE, 2), 1),
        (facts(), revisions(GOOD, BAD, WORSE, 2, 1), None),
        (facts(), revisions(GOOD, BAD, BAD), 1),
        # What is kept is of other clusters, or of none.
        (upgrading(), revisions(OTHER_IMAGE, OTHER_IMAGE), None),
        (facts(), revisions(GOOD, OTHER_IMAGE, 1), None),
        (facts(), [], None),
        (first(), revisions(GOOD, BAD), None),
        (facts(clusters=[]), revisions(GOOD, BAD), None),
    ],
)
def test_the_way_back_is_to_what_the_active_cluster_is_of(
    found: ReleaseFacts, kept: list[KeptRelease], revision: int | None
) -> None:
    chosen = way_back(found, kept)
    assert (chosen.revision if chosen else None) == revision


def test_where_there_is_no_way_the_reason_is_told() -> None:
    assert "no cluster served before" in why_no_way(first())
    assert f"the RayCluster {OLD} is gone" in why_no_way(facts(clusters=[]))
    assert "you may not look" in why_no_way(replace(facts(clusters=[]), unknown={"RayClusters": "no"}))
    assert f"helm keeps no other revision that {OLD} is of" in why_no_way(facts())
