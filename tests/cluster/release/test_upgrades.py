"""Visitors notice nothing of an upgrade: not of a change in place, a new image, more replicas, the way back."""

import time

import pytest

from momalisa.service.ledger import Ledger
from momalisa.storage import open_store
from tests.cluster.gcs import ClusterGcs
from tests.cluster.release.crowd import Tally, visiting
from tests.cluster.release.ops import RELEASE, Ops

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400, func_only=True)]

_NUM_WALKS, _NUM_STREAMS, _NUM_REQUESTS = 200, 50, 2000
_DELETION_DELAY_S = 100
_CHUNK_SIZE = 8
"""The most frames that are drawn in one go, and so the most that the account may be ahead or behind by."""


def test_visitors_notice_nothing(ops: Ops, gcs: ClusterGcs, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other_image = ops.another_tag()
    ops.upgrade(
        upgrade={"deletionDelaySeconds": _DELETION_DELAY_S},
        deployments={"gateway": {"minReplicas": 1, "maxReplicas": 2}},
    )
    ops.until_serving()
    (first,) = ops.clusters()
    with visiting(ops.url) as crowd:
        time.sleep(20)
        ops.upgrade(limits={"max_frames": 150})
        ops.until_serving()
        assert ops.clusters() == [first]
        _told(crowd.tally, "in place")
        ops.upgrade(image={"tag": other_image})
        second = _switched(ops, first)
        _told(crowd.tally, "new image")
        ops.upgrade(deployments={"gateway": {"minReplicas": 2, "maxReplicas": 3}})
        ops.until_serving()
        ops.namespace.wait_for("two gateways or more", lambda: len(ops.replicas("gateway")) >= 2, deadline_s=120)
        assert ops.clusters() == [second]
        _told(crowd.tally, "more gateways")
        ops.helm("rollback", RELEASE, "2")
        third = _switched(ops, second)
        _told(crowd.tally, "rollback")
        while not _is_enough(crowd.tally):
            time.sleep(1)
        assert ops.clusters() == [third]
    _told(crowd.tally, "in all")
    assert not crowd.tally.failures, "\n".join(each.what for each in crowd.tally.failures[:20])
    assert crowd.tally.num_done == len(crowd.tally.walks) == len(set(crowd.tally.walks))
    for name, value in gcs.environment.items():
        monkeypatch.setenv(name, value)
    store = open_store(f"{bucket}/walks")
    records = {entry.key for entry in store.list("walks")}
    assert {key.split("/")[1].removesuffix(".json") for key in records} == set(crowd.tally.walks)
    num_frames = sum(entry.key.endswith(".png") for entry in store.list("frames"))
    assert num_frames - _CHUNK_SIZE <= Ledger(store).totals().num_rendered <= num_frames + _CHUNK_SIZE


def _switched(ops: Ops, old: str) -> str:
    """The new cluster's name, once the old one is gone."""
    began = time.monotonic()
    ops.until_serving()
    print(f"switched after {time.monotonic() - began:.0f} s", flush=True)
    (new,) = set(ops.clusters()) - {old}
    ops.namespace.wait_for("the old cluster is gone", lambda: ops.clusters() == [new], deadline_s=300)
    ops.namespace.wait_for("its pods are gone", lambda: not ops.pods("workers", old), deadline_s=200)
    return new


def _is_enough(tally: Tally) -> bool:
    if tally.failures:
        return True
    return (
        tally.num_done >= _NUM_WALKS
        and tally.num_streams >= _NUM_STREAMS
        and tally.num_kept_alive >= _NUM_REQUESTS / 2
        and tally.num_fresh >= _NUM_REQUESTS / 2
    )


def _told(tally: Tally, when: str) -> None:
    print(f"{when}: {tally.in_words()}", flush=True)
    for failure in tally.failures[:5]:
        print("   ", failure.what[:400])
