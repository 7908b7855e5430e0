"""Whether this release is to be sent requests: once it has drawn a picture, until a newer one is sent some."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from momalisa.errors import MomalisaError, ServiceError, StorageError
from momalisa.service.crew import Crew, draw_image
from momalisa.service.generations import Generations, Standing
from momalisa.service.models import ServedModel, Shelf
from momalisa.service.port import ImageRequest
from momalisa.walk.model_facts import ModelFacts

_CANARY = ImageRequest(prompt="", model="", num_inference_steps=2)
_LOGGER = logging.getLogger(__name__)


class Readiness:
    """Of one release."""

    def __init__(self, crew: Crew, shelf: Shelf, generations: Generations) -> None:
        self._crew, self._shelf, self._generations = crew, shelf, generations
        self.is_ready = False
        """Stays true while renderers sleep."""
        self._standing = Standing(is_entered=False, is_newest=False)  # not known yet
        self._failures: list[Exception] = []
        self._tried = asyncio.Event()

    @property
    def has_successor(self) -> bool:
        """Whether a newer release serves."""
        return self._standing.has_successor

    @property
    def may_lead(self) -> bool:
        """Whether it is for this release to take up works: it can draw, and no other one serves in its place."""
        return self.is_ready and self._standing.is_newest

    async def draw_canary(self, *, retry_s: float) -> None:
        """Draws a picture with the default model, until it can be; this release is ready then. Ends in no other way:
        whoever waits for it would wait for ever."""
        while not self.is_ready:
            try:
                model = self._shelf.infos()[0].id
                await self.draw(*self._shelf.find(model))
                self.is_ready = True
            except MomalisaError as e:
                _LOGGER.warning("no picture could be drawn yet: %s", e)
                if not isinstance(e, StorageError):
                    self._failures.append(e)
                await asyncio.sleep(retry_s)
            except Exception as e:
                _LOGGER.exception("no picture could be drawn yet")
                self._failures.append(e)
                await asyncio.sleep(retry_s)
            finally:
                self._tried.set()

    async def draw(self, model: ServedModel, facts: ModelFacts) -> None:
        """One picture with a model, which nobody sees. Raises MomalisaError where it cannot be drawn."""
        await draw_image(self._crew, replace(_CANARY, model=model.id), model, facts)

    async def settled(self, *, within_s: float, max_failures: int) -> None:
        """Returns once a picture has been drawn, or after `within_s` in which no renderer was there to try.

        Raises ServiceError once drawing has failed so often; a bucket that is away does not count.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s) as waiting:
                while not self.is_ready:
                    if len(self._failures) >= max_failures:
                        why = self._failures[-1]
                        self._failures.clear()
                        raise ServiceError(f"no picture can be drawn: {_words(why)}") from why
                    self._tried.clear()
                    await self._tried.wait()
                    if not self.is_ready:  # it was tried: so the end is a picture, or failures enough
                        waiting.reschedule(None)

    async def take_over(self) -> None:
        """Somebody sends visitors here: the release before this one is to send its own on. Not when it is ready: it may
        never be sent any, and nobody else would serve then."""
        await asyncio.to_thread(self._generations.enter)
        await self._look()

    async def watch_releases(self, *, every_s: float) -> None:
        """Says that this release lives, and looks which one serves."""
        while True:
            try:
                await asyncio.to_thread(self._generations.live)
                await self._look()
            except StorageError as e:
                _LOGGER.warning("the releases in the bucket cannot be read or told: %s", e)
            await asyncio.sleep(every_s)

    async def leave(self) -> None:
        """This release ends."""
        with suppress(StorageError):
            await asyncio.to_thread(self._generations.leave)

    async def _look(self) -> None:
        before, self._standing = self._standing, await asyncio.to_thread(self._generations.look)
        if self._standing.has_successor and not before.has_successor:
            _LOGGER.info("a newer release serves: no new work is taken up here")
        if before.has_successor and not self._standing.has_successor:
            _LOGGER.info("the newer release is gone: works are taken up here again")


def _words(error: Exception) -> str:
    """Others' errors may have words only with their kind, or none, or many lines: of a traceback's end one is shown."""
    return str(error) if isinstance(error, MomalisaError) else repr(error)
