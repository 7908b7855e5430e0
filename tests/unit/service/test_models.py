"""Models that are served."""

import asyncio
from dataclasses import replace

import pytest

from momalisa.errors import ConfigError, ModelError
from momalisa.service.models import ServedModel, Shelf
from momalisa.walk.model_facts import ModelFacts
from tests.support.facts import FACTS


class Loader:
    async def describe(self, model: ServedModel) -> ModelFacts:
        if model.uri == "broken":
            raise ModelError("broken cannot be loaded")
        return FACTS


def put(shelf: Shelf, *models: ServedModel) -> None:
    asyncio.run(shelf.put(models))


OLD, NEW = ServedModel(id="old", uri="a"), ServedModel(id="new", uri="b", title="New", suggestions=("dots",))
BROKEN = ServedModel(id="broken", uri="broken")


def test_what_cannot_be_loaded_changes_nothing() -> None:
    shelf = Shelf(Loader())
    put(shelf, OLD)
    with pytest.raises(ModelError):
        put(shelf, NEW, BROKEN)
    assert shelf.find("old") == (OLD, FACTS)
    assert [info.id for info in shelf.infos()] == ["old"]


def test_a_model_that_is_new_proves_itself_before_it_is_served() -> None:
    shelf, proved = Shelf(Loader()), list[str]()

    async def prove(model: ServedModel, _: ModelFacts) -> None:
        proved.append(model.id)
        if model is NEW:
            raise ModelError("no picture can be drawn")

    put(shelf, OLD)
    with pytest.raises(ModelError):
        asyncio.run(shelf.put([OLD, NEW], prove=prove))
    assert proved == ["new"]
    assert [info.id for info in shelf.infos()] == ["old"]
    asyncio.run(shelf.put([replace(OLD, title="Old")], prove=prove))
    assert proved == ["new"], "a title is nothing to be drawn with"


def test_the_first_model_is_the_default_and_titles_fall_back_to_ids() -> None:
    shelf = Shelf(Loader())
    put(shelf, NEW, OLD)
    assert [(info.title, info.is_default, info.size) for info in shelf.infos()] == [
        ("New", True, 32),
        ("old", False, 32),
    ]


def test_a_model_that_is_served_no_more_is_named_with_those_that_are() -> None:
    shelf = Shelf(Loader())
    put(shelf, OLD)
    put(shelf, NEW)
    with pytest.raises(ConfigError, match="no model 'old' is served: take one of new"):
        shelf.find("old")


@pytest.mark.parametrize("models", [(), (OLD, OLD)])
def test_no_models_or_two_of_one_id_are_refused(models: tuple[ServedModel, ...]) -> None:
    with pytest.raises(ConfigError):
        put(Shelf(Loader()), *models)
