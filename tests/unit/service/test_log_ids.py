"""What lines of the log are of."""

import asyncio
import logging
from collections.abc import Mapping

from momalisa.service.log_ids import IdsFilter, ids, note, noted
from momalisa.service.on_ray.telemetry import with_ids


def record() -> Mapping[str, object]:
    made = logging.makeLogRecord({})
    assert IdsFilter().filter(made)
    return made.__dict__


def test_lines_are_of_what_was_noted_within_the_block() -> None:
    with noted(request_id="r"), noted(walk_id="w"):
        assert (record()["request_id"], record()["walk_id"]) == ("r", "w")
    assert "request_id" not in record()
    assert ids() == {}


def test_tasks_begin_with_the_ids_of_whoever_began_them_and_keep_theirs_to_themselves() -> None:
    async def lead() -> dict[str, str]:
        note(work_id="k")
        return ids()

    async def act() -> None:
        with noted(walk_id="w"):
            assert await asyncio.create_task(lead()) == {"walk_id": "w", "work_id": "k"}
            assert ids() == {"walk_id": "w"}

    asyncio.run(act())


def test_a_replica_notes_what_its_caller_did_in_threads_too() -> None:
    class Replica:
        @with_ids
        async def draw(self, number: int, *, twice: bool = False) -> tuple[int, dict[str, str]]:
            return number * (2 if twice else 1), await asyncio.to_thread(ids)

    assert asyncio.run(Replica().draw({"walk_id": "w"}, 3, twice=True)) == (6, {"walk_id": "w"})
