"""The rows of a metadata.jsonl or CSV file, as columns of text."""

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from momalisa.errors import DatasetError

_NAME = "file_name"


@dataclass(slots=True)
class MetadataRows:
    """Columns rather than rows: a collection's worth of small dicts is large."""

    file_names: list[str | None] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Where in the file each row is, from 1."""
    columns: dict[str, list[str | None]] = field(default_factory=dict)
    """By name, in the order in which they come."""

    def add(self, line: int, row: dict[str, Any]) -> None:
        """Appends a row; columns that it lacks are empty, columns that are new were empty before."""
        name = row.get(_NAME)
        self.file_names.append(name.strip() if isinstance(name, str) and name.strip() else None)
        self.lines.append(line)
        for column in row.keys() - self.columns.keys() - {_NAME}:
            self.columns[column] = []
        for column, values in self.columns.items():
            values.extend([None] * (len(self.lines) - 1 - len(values)))
            values.append(as_text(row.get(column)))


def read_rows(data: bytes, uri: str) -> MetadataRows:
    """All rows of a `.csv` file, or else of JSON lines.

    Raises DatasetError, naming the line to mend, for what is not UTF-8, JSON or CSV, has no rows or no file_name.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise DatasetError(f"{uri} is not UTF-8 ({e.reason} at byte {e.start}): save it as UTF-8") from e
    rows = MetadataRows()
    columns: dict[str, None] = {}
    for line, row in _csv_rows(text, uri) if uri.endswith(".csv") else _json_rows(text, uri):
        columns |= dict.fromkeys(row)
        rows.add(line, row)
    if not rows.lines:
        raise DatasetError(f"{uri} has no rows: write one for each picture")
    if _NAME not in columns:
        raise DatasetError(f"{uri} has no column file_name, only {', '.join(columns)}: name the pictures' column so")
    rows.columns = {name: rows.columns[name] for name in columns if name != _NAME}
    return rows


def as_text(value: Any) -> str | None:
    """A metadata value as it is stored: columns of input files agree on nothing but text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and not value.is_integer():
        return None if math.isnan(value) else repr(value)
    if isinstance(value, float):
        return str(int(value))  # a year, read as a number
    if isinstance(value, bool | int | list | dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return str(value)


def _csv_rows(text: str, uri: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = reader.fieldnames or []
        if len(set(names)) < len(names):
            raise DatasetError(f"{uri} has two columns of the same name ({', '.join(names)}): rename one")
        for row in reader:
            if None in row:
                raise DatasetError(f"{uri}, line {reader.line_num} has more cells than the header: mend that line")
            yield reader.line_num, row
    except csv.Error as e:
        raise DatasetError(f"{uri}, line {reader.line_num} is not CSV ({e}): mend that line") from e


def _json_rows(text: str, uri: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # Not splitlines(): JSON strings may hold the other characters that it takes for line ends.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as e:
            raise DatasetError(f"{uri}, line {number} is not JSON ({e}): mend that line") from e
        if not isinstance(row, dict):
            raise DatasetError(f"{uri}, line {number} is not a JSON object: mend that line")
        yield number, row
