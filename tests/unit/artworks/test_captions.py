import pytest

from momalisa.artworks.captions import caption, check_template, template_columns
from momalisa.errors import ConfigError


def test_columns_are_filled_in_and_white_space_tidied() -> None:
    row = {"title": "The  Bedroom\n", "artist": "Vincent van Gogh", "year": 1889}
    assert caption("{title} by {artist} ({year}) {{sic}}", row) == "The Bedroom by Vincent van Gogh (1889) {sic}"


@pytest.mark.parametrize("row", [{}, {"text": None}, {"text": "  "}])
def test_an_empty_column_gives_no_caption(row: dict[str, object]) -> None:
    assert caption("A MOMA artwork of: {text}", row) is None


def test_an_unknown_column_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="artist, title"):
        check_template("{text}", ["title", "artist"])


@pytest.mark.parametrize(
    "template", ["{title.__class__}", "{0}", "{}", "{title!r}", "{title:>5}", "{title", "{rows[0]}"]
)
def test_only_plain_names_are_allowed(template: str) -> None:
    with pytest.raises(ConfigError):
        template_columns(template)


def test_a_template_may_name_no_column_or_one_with_spaces() -> None:
    assert caption("a sks painting", {}) == "a sks painting"
    assert caption("{Artist Name}: {Artist Name}", {"Artist Name": "Hokusai"}) == "Hokusai: Hokusai"
    assert template_columns("{b} {a} {b}") == ("b", "a")


def test_braces_in_a_value_stay_as_they_are() -> None:
    assert caption("{text}", {"text": "{artist} {{}}", "artist": "nobody"}) == "{artist} {{}}"


def test_a_template_of_nothing_gives_no_caption() -> None:
    assert caption("  ", {}) is None
