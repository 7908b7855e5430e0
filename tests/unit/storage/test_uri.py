from pathlib import Path

import pytest
from fsspec.registry import known_implementations

from momalisa.errors import UriError
from momalisa.storage.uri import Location, check_key, check_prefix, parse_uri


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("gs://bucket", Location("gs", "bucket")),
        ("gs://bucket/", Location("gs", "bucket")),
        ("gcs://bucket/a//b/", Location("gs", "bucket/a/b")),
        ("file:///folder/x", Location("file", "/folder/x")),
        ("file://localhost/folder", Location("file", "/folder")),
        ("/folder/../other/", Location("file", "/other")),
        ("/", Location("file", "/")),
        ("memory://name/sub", Location("memory", "memory://name/sub")),
    ],
)
def test_understands(uri: str, location: Location) -> None:
    assert parse_uri(uri) == location


def test_a_relative_folder_is_taken_from_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/of/someone")
    assert parse_uri("runs/demo") == Location("file", f"{tmp_path}/runs/demo")
    assert parse_uri("~/runs") == Location("file", "/home/of/someone/runs")


@pytest.mark.parametrize(
    ("uri", "fix"),
    [
        ("", "not a URI"),
        (" /folder", "not a URI"),
        ("gs://bucket/a\nb", "not a URI"),
        ("gs://", "names no bucket"),
        ("gs://My_Bucket/x", "lower-case"),
        ("gs://bucket/../other", "plain form"),
        ("gs:/bucket/x", "did you mean gs://bucket/x"),
        ("file://folder/x", "file:///folder/x"),
        ("memory://", "names nothing"),
        ("gss://bucket", "did you mean gs"),
        ("zip::gs://bucket/x.zip", "chained"),
    ],
)
def test_refuses_nonsense_and_names_the_fix(uri: str, fix: str) -> None:
    with pytest.raises(UriError, match=fix):
        parse_uri(uri)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known_implementations, "nowhere", {"class": "nowherefs.NowhereFileSystem", "err": "no"})
    with pytest.raises(UriError, match="pip install nowherefs"):
        parse_uri("nowhere://bucket")


@pytest.mark.parametrize("key", ["a", "a/b.c", "data/train-00000-of-00004.parquet", "ünï/çødé", "a b", "..a", "a.."])
def test_plain_keys_pass(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\0b", "a\nb", "x" * 1025, ".momalisa-lock", "a/.momalisa-x"],
)
def test_other_keys_do_not(key: str) -> None:
    with pytest.raises(UriError):
        check_key(key)


def test_a_prefix_is_a_folder_with_or_without_its_slash() -> None:
    assert [check_prefix(p) for p in ("", "a/b", "a/b/")] == ["", "a/b", "a/b"]
    with pytest.raises(UriError):
        check_prefix("../a")
