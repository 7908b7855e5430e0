import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import httpx
import pytest

from momalisa.config import from_dict
from momalisa.errors import ConfigError, RefusedError, UnavailableError
from momalisa.service import refused_words
from momalisa.service.config import Language, ModerationConfig
from momalisa.service.moderation import Endpoint, Everyone, WordList, build_moderator
from momalisa.service.refused_words import RefusedWords

LANGUAGES = ("en", "es", "de", "fr", "it")
WORDS = RefusedWords.bundled(LANGUAGES)
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.mark.parametrize(
    "prompt",
    [
        "fuck",
        "FUCKING hell",
        "f.u.c.k",
        "f u c k this",
        "fuuuuuck",
        "f\u200bu\u00adck",
        "ｆｕｃｋ",
        "fυсk",
        "motherfucker!",
        "a red,fuck,blue thing",
        "f4gg0t",
        "n1gger",
        "$lutty",
        "oral   sex",
        "oral-sex",
        "Heil Hitler",
        "PÉDOPHILE",
        "pe\u0301dophilie",
        "hijo de puta",
        "maricon",
        "Kinderpornos",
        "Scheißausländer",
        "SCHEISSAUSLÄNDER",
        "enculés",
        "vaffanculo",
    ],
)
def test_refused_in_any_disguise(prompt: str) -> None:
    assert WORDS.are_in(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "Scunthorpe",
        "classic art, a class of its own",
        "a cocktail in Essex",
        "Nude Descending a Staircase",
        "The Rape of Europa",
        "Judith beheading Holofernes",
        "Saturn devouring his son",
        "the Birth of Venus, naked",
        "a fickle cat",
        "cuadro negro sobre fondo blanco",
        "un cono rojo",
        "dicke rote Punkte",
        "Fagott und Flöte",
        "un train en retard",
        "Il cavallo di Troia",
        "le baiser, by Rodin",
        "bass viol, 1645",
        "88 keys, 1945, 4th of July",
        "a b c d e",
        "U.S.A. flag",
        "!!! | $$$",
        "蓝色的点",
        "голубые точки",
        "A shiitake mushroom in Penistone",
        "Moby-Dick",
    ],
)
def test_art_and_towns_are_let_through(prompt: str) -> None:
    assert not WORDS.are_in(prompt)


def test_languages_are_chosen() -> None:
    assert not RefusedWords.bundled(["en"]).are_in("vaffanculo")
    assert RefusedWords.bundled(["it"]).are_in("vaffanculo")
    for wrong in ("xx", "../en", ""):
        with pytest.raises(ConfigError, match="no list"):
            RefusedWords.bundled([wrong])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_list_is_there(language: str) -> None:
    assert RefusedWords.bundled([language]).num_entries > 30


def test_a_long_prompt_is_searched_in_no_time() -> None:
    assert not WORDS.are_in("a1!" * 2000 + "a " * 2000)


def endpoint(handler: Handler, when_unreachable: Literal["refuse", "allow"] = "refuse") -> Endpoint:
    return Endpoint(
        "https://judge.example/v1",
        timeout_s=1,
        when_unreachable=when_unreachable,
        transport=httpx.MockTransport(handler),
    )


def test_an_endpoint_is_asked() -> None:
    asked: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, json={"refused": "bad" in str(asked[-1]) or "picture" in asked[-1]})

    async def drill() -> None:
        await endpoint(handler).check_prompts(["good"])
        with pytest.raises(RefusedError):
            await endpoint(handler).check_prompts(["good", "bad"])
        with pytest.raises(RefusedError):
            await endpoint(handler).check_picture(b"png")

    asyncio.run(drill())
    assert asked == [{"prompts": ["good"]}, {"prompts": ["good", "bad"]}, {"picture": "cG5n"}]


def timed_out(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("slow", request=request)


@pytest.mark.parametrize(
    "handler",
    [
        timed_out,
        lambda _: httpx.Response(500),
        lambda _: httpx.Response(302, headers={"Location": "https://elsewhere.example"}),
        lambda _: httpx.Response(200, text="yes"),
        lambda _: httpx.Response(200, json={"refused": "no"}),
        lambda _: httpx.Response(200, json=[]),
    ],
)
def test_an_endpoint_that_cannot_tell(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UnavailableError):
        asyncio.run(endpoint(handler).check_prompts(["blue"]))
    asyncio.run(endpoint(handler, "allow").check_prompts(["blue"]))
    assert "allowed" in caplog.text


def test_lists_and_endpoint_together() -> None:
    moderator = build_moderator(ModerationConfig(endpoint="https://judge.example"))
    nothing = build_moderator(ModerationConfig(languages=()))

    with pytest.raises(RefusedError):
        asyncio.run(moderator.check_prompts(["blue", "fuck"]))  # before anybody is asked
    asyncio.run(nothing.check_prompts(["fuck"]))
    asyncio.run(Everyone([WordList(WORDS)]).check_picture(b"png"))


def test_a_config_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="https"):
        ModerationConfig(endpoint="judge.example")
    with pytest.raises(ConfigError, match=r"languages.*'de', 'en'"):
        from_dict(ModerationConfig, {"languages": ["xx"]})
    with pytest.raises(ConfigError, match="no list"):
        RefusedWords.bundled(["xx"])


def test_every_bundled_list_can_be_named() -> None:
    files = {path.stem for path in Path(refused_words.__file__).parent.glob("*.txt")}
    assert files == set(get_args(Language))
