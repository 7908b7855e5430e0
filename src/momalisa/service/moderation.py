"""What is not shown here: hooks that look at prompts before, and at pictures after they are drawn.

Set up by whoever runs the service. An external endpoint gets a POST of JSON, `{"prompts": [str, …]}` or
`{"picture": "<PNG in base64>"}`, and answers 200 with `{"refused": bool}`.
"""

import base64
import logging
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import httpx

from momalisa.errors import RefusedError, UnavailableError
from momalisa.service.config import ModerationConfig
from momalisa.service.refused_words import RefusedWords

_LOGGER = logging.getLogger(__name__)
_WORDS = "this prompt has words that we do not draw: say it in other words"
_PICTURE = "this picture is not one that we show: take another"


class Moderator(Protocol):
    """Both raise RefusedError, or UnavailableError where nobody can tell and that counts as a no."""

    async def check_prompts(self, prompts: Sequence[str]) -> None:
        """Before anything is drawn. Not for negative prompts: who names a thing there does not want to see it."""

    async def check_picture(self, png: bytes) -> None:
        """Before a picture is shown, or one of a visitor's is kept."""


class WordList:
    """Refuses prompts by lists of words."""

    def __init__(self, words: RefusedWords) -> None:
        self._words = words

    async def check_prompts(self, prompts: Sequence[str]) -> None:
        """See `Moderator`."""
        if any(self._words.are_in(prompt) for prompt in prompts):
            raise RefusedError(_WORDS)

    async def check_picture(self, png: bytes) -> None:
        """Pictures have no words."""


class Endpoint:
    """Asks somebody else."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        when_unreachable: Literal["refuse", "allow"],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url, self._when_unreachable = url, when_unreachable
        self._timeout_s, self._transport = timeout_s, transport

    async def check_prompts(self, prompts: Sequence[str]) -> None:
        """See `Moderator`."""
        if await self._refuses({"prompts": list(prompts)}):
            raise RefusedError(_WORDS)

    async def check_picture(self, png: bytes) -> None:
        """See `Moderator`."""
        if await self._refuses({"picture": base64.b64encode(png).decode()}):
            raise RefusedError(_PICTURE)

    async def _refuses(self, question: dict[str, Any]) -> bool:
        try:
            # A client for each question: they are rare, and one that lasts would be bound to one event loop.
            async with httpx.AsyncClient(timeout=self._timeout_s, transport=self._transport) as client:
                answer = await client.post(self._url, json=question)
            answer.raise_for_status()
            return _verdict(answer.json())
        except (httpx.HTTPError, ValueError) as e:
            if self._when_unreachable == "allow":
                _LOGGER.warning("the moderation endpoint did not answer; allowed: %r", e)
                return False
            raise UnavailableError("the moderation endpoint did not answer") from e


class Everyone:
    """Refuses what any of several moderators refuses; they are asked in order."""

    def __init__(self, moderators: Sequence[Moderator]) -> None:
        self._moderators = moderators

    async def check_prompts(self, prompts: Sequence[str]) -> None:
        """See `Moderator`."""
        for moderator in self._moderators:
            await moderator.check_prompts(prompts)

    async def check_picture(self, png: bytes) -> None:
        """See `Moderator`."""
        for moderator in self._moderators:
            await moderator.check_picture(png)


def build_moderator(config: ModerationConfig) -> Moderator:
    """The lists first, as they cost nothing; then the endpoint. Raises ConfigError for a list that is not there."""
    moderators: list[Moderator] = []
    if config.languages:
        moderators.append(WordList(RefusedWords.bundled(config.languages)))
    if config.endpoint is not None:
        moderators.append(
            Endpoint(config.endpoint, timeout_s=config.timeout_s, when_unreachable=config.when_unreachable)
        )
    return Everyone(moderators)


def _verdict(answer: Any) -> bool:
    if not isinstance(answer, dict) or not isinstance(answer.get("refused"), bool):
        raise ValueError('the moderation endpoint must answer {"refused": true | false}')
    refused: bool = answer["refused"]
    return refused
