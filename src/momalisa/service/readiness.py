"""Whether this release is to be sent requests: once it has drawn a picture, until a newer one has."""

import asyncio
import logging
from dataclasses import replace

from momalisa.errors import MomalisaError, StorageError
from momalisa.service.crew import Crew, draw_image
from momalisa.service.generations import Generations
from momalisa.service.models import Shelf
from momalisa.service.port import ImageRequest

_CANARY = ImageRequest(prompt="", model="", num_inference_steps=2)
_LOGGER = logging.getLogger(__name__)


class Readiness:
    """Of one release."""

    def __init__(self, crew: Crew, shelf: Shelf, generations: Generations) -> None:
        self._crew, self._shelf, self._generations = crew, shelf, generations
        self.is_ready = False
        """Stays true while renderers sleep."""
        self.has_successor = False

    async def draw_canary(self, *, retry_s: float) -> None:
        """Draws a picture with the default model, until it can be; this release is ready then, and says so."""
        while not self.is_ready:
            try:
                model = self._shelf.infos()[0].id
                await draw_image(self._crew, replace(_CANARY, model=model), *self._shelf.find(model))
                await asyncio.to_thread(self._generations.enter)
            except MomalisaError as e:
                _LOGGER.warning("no picture could be drawn yet: %s", e)
                await asyncio.sleep(retry_s)
            else:
                self.is_ready = True

    async def watch_releases(self, *, every_s: float) -> None:
        """Until a newer release serves."""
        while not self.has_successor:
            await asyncio.sleep(every_s)
            try:
                self.has_successor = await asyncio.to_thread(self._generations.has_successor)
            except StorageError as e:
                _LOGGER.warning("the releases in the bucket cannot be read: %s", e)
        _LOGGER.info("a newer release serves: no new work is taken up here")
