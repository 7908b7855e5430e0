"""Which configuration a conductor goes by: the newest one that can be drawn with, and meanwhile the one that holds."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from momalisa.config import from_dict
from momalisa.errors import MomalisaError, UnavailableError
from momalisa.service.conductor import Conductor
from momalisa.service.crew import LostError
from momalisa.service.last_good import LastGood
from momalisa.service.moderation import build_moderator
from momalisa.service.structure import ConductorLife

CONDUCTOR = "conductor"
_AGAIN_S = 2.0
_MAX_TRIES = 3
"""A renderer that is lost while it tries a model, and a bucket that is away, say nothing of the model."""
_WAKE_S = 60.0
"""So long a conductor that begins anew waits for a renderer to try, where all sleep, before it takes walks on."""
_MAX_CANARIES = 5
_LOGGER = logging.getLogger(__name__)

T = TypeVar("T")
UserConfig = Mapping[str, Any]


class Configuring:
    """Of one conductor. `ConductorLife` says what a configuration is."""

    def __init__(self, conductor: Conductor, last_good: LastGood) -> None:
        self._conductor, self._last_good = conductor, last_good
        self._has_begun = self._has_started = False
        self.trial: asyncio.Task[None] | None = None
        """Of the newest one, beside what goes on."""

    async def take(self, user_config: UserConfig) -> None:
        """The first one is taken, and a picture drawn with it, before this returns; raises MomalisaError if it cannot
        be and none was good before. Later ones are tried beside what goes on."""
        if not self._has_begun:
            await self._begin(user_config)
            self._has_begun = True
            return
        if self.trial is not None:
            self.trial.cancel()
        self.trial = asyncio.create_task(self._try(user_config))

    async def _begin(self, user_config: UserConfig) -> None:
        """A release that has a name outlives its conductors: what held before begins, and this one is tried beside it.
        One that has none was begun by somebody who wants this one, and what held before is for want of it."""
        good = await _once_there(self._last_good.find)
        choices = [user_config] if good in (None, user_config) else [good, user_config]
        if not self._last_good.is_of_a_named_release:
            choices.reverse()
        self._conductor.note_trial(is_pending=len(choices) > 1)
        for number, choice in enumerate(choices, start=1):
            try:
                await self._start_with(choice)
                break
            except MomalisaError as e:
                if number == len(choices):
                    raise
                _LOGGER.error("this configuration cannot be begun with, and another is: %s", e)
        if choice is user_config:
            await self._last_good.keep(user_config)
            self._conductor.note_trial(is_pending=False)
        else:
            self.trial = asyncio.create_task(self._try(user_config))

    async def _start_with(self, user_config: UserConfig) -> None:
        await _once_there(lambda: self._apply(user_config))
        if not self._has_started:
            self._conductor.start()
            self._has_started = True
        await self._conductor.settled(within_s=_WAKE_S, max_failures=_MAX_CANARIES)

    async def _apply(self, user_config: UserConfig) -> None:
        life = from_dict(ConductorLife, user_config)
        moderator = build_moderator(life.moderation) if life.moderation.endpoint is not None else None
        await self._conductor.take_config(life.models, life.admission, moderator, life.retention)

    async def _try(self, user_config: UserConfig) -> None:
        self._conductor.note_trial(is_pending=True)
        try:
            await self._apply_if_need_be_again(user_config)
        except Exception as e:
            if isinstance(e, MomalisaError):
                _LOGGER.error("the configuration stays as it was: %s", e)
            else:
                _LOGGER.exception("the configuration stays as it was, for a reason that nobody foresaw")
            self._conductor.note_config(CONDUCTOR, is_refused=True)
        else:
            self._conductor.note_config(CONDUCTOR, is_refused=False)
            await self._last_good.keep(user_config)
        finally:
            self._conductor.note_trial(is_pending=False)

    async def _apply_if_need_be_again(self, user_config: UserConfig) -> None:
        for _ in range(_MAX_TRIES - 1):
            try:
                return await self._apply(user_config)
            except (LostError, UnavailableError) as e:
                _LOGGER.warning("the configuration is tried again: %s", e)
                await asyncio.sleep(_AGAIN_S)
        return await self._apply(user_config)


async def _once_there(ask: Callable[[], Awaitable[T]]) -> T:
    """Waits for a bucket that is away, for as long as that takes: there is nothing yet to go on with."""
    while True:
        try:
            return await ask()
        except UnavailableError as e:
            _LOGGER.warning("the bucket cannot be asked now: %s", e)
            await asyncio.sleep(_AGAIN_S)
