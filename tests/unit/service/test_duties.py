"""Duties in the background."""

import asyncio

import pytest

from momalisa.service.duties import kept_up


def test_an_error_that_nobody_foresaw_ends_no_duty(caplog: pytest.LogCaptureFixture) -> None:
    tries = iter([KeyError("renderer"), None])

    async def duty() -> None:
        if (error := next(tries)) is not None:
            raise error

    asyncio.run(kept_up(duty, again_s=0))
    assert next(tries, "none left") == "none left"
    assert "begins anew" in caplog.text
    assert "KeyError: 'renderer'" in caplog.text


def test_a_duty_can_be_ended() -> None:
    async def end_it() -> None:
        task = asyncio.create_task(kept_up(lambda: asyncio.sleep(60)))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(end_it())
