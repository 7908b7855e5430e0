import pytest

from momalisa.artworks.metadata import as_text, read_rows
from momalisa.errors import DatasetError


def test_json_lines_become_columns_of_text() -> None:
    data = '{"file_name": "a.png", "year": 1889}\n\n{"tags": ["oil", "é"], "file_name": " b.png "}\n'
    rows = read_rows(data.encode(), "metadata.jsonl")
    assert rows.file_names == ["a.png", "b.png"]
    assert rows.lines == [1, 3]
    assert rows.columns == {"year": ["1889", None], "tags": [None, '["oil", "é"]']}


def test_line_separators_within_a_string_end_no_line() -> None:
    rows = read_rows('{"file_name": "a.png", "text": "one\u2028two\x85three"}\n'.encode(), "metadata.jsonl")
    assert rows.columns["text"] == ["one\u2028two\x85three"]


def test_a_csv_with_a_mark_and_line_ends_in_its_cells() -> None:
    data = '\ufefffile_name,title\r\na.png,"two\nlines"\r\nb.png\r\n'
    rows = read_rows(data.encode(), "list.csv")
    assert rows.file_names == ["a.png", "b.png"]
    assert rows.columns == {"title": ["two\nlines", None]}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("metadata.jsonl", b'{"file_name": "a"}\n{"file', "line 2 is not JSON.*mend that line"),
        ("metadata.jsonl", b"[1]", "line 1 is not a JSON object"),
        ("metadata.jsonl", b"\n \n", "has no rows"),
        ("metadata.jsonl", b'{"text": "x"}', "no column file_name, only text"),
        ("metadata.jsonl", b'{"file_name": "\xe9"}', "not UTF-8.*save it as UTF-8"),
        ("m.csv", b"", "has no rows"),
        ("m.csv", b"file_name,a,a\nx,1,2\n", "two columns of the same name"),
        ("m.csv", b"file_name\na.png,more\n", "line 2 has more cells"),
        ("m.csv", b'file_name\n"a.png', "is not CSV"),
        ("m.csv", b"name,title\na.png,A\n", "no column file_name, only name, title"),
    ],
)
def test_what_cannot_be_read_names_the_place_and_the_fix(name: str, data: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_rows(data, name)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, None), ("", ""), (3, "3"), (1889.0, "1889"), (0.5, "0.5"), (float("nan"), None), (True, "true")],
)
def test_values_as_text(value: object, text: str | None) -> None:
    assert as_text(value) == text
