import json
from pathlib import Path

import pytest

from momalisa.artworks.sources import Listing, Rejected, is_unsafe, list_input
from momalisa.errors import DatasetError


def write(folder: Path, names: list[str], rows: list[dict[str, object]]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def rejected(listing: Listing) -> dict[str, str]:
    return {entry.file_name: entry.reason for entry in listing.rejected}


def test_rows_and_files_find_each_other(tmp_path: Path) -> None:
    rows = [{"file_name": "b/2.png", "text": "two"}, {"file_name": "./1.png", "text": "one"}]
    write(tmp_path, ["1.png", "b/2.png"], rows)
    listing = list_input(str(tmp_path))
    assert listing.references.to_pylist() == [
        {"file_name": "b/2.png", "key": "b/2.png", "row": -1},
        {"file_name": "./1.png", "key": "1.png", "row": -1},
    ]
    assert listing.metadata.to_pylist() == [{"text": "two"}, {"text": "one"}]
    assert (listing.num_files, listing.num_rows, listing.rejected) == (2, 2, ())


def test_everything_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    names = ["1.png", "1.png", "gone.png", "/etc/passwd", "../up.png", "", "gs://b/x.png"]
    write(tmp_path, ["1.png", "lonely.JPG", "notes.txt"], [{"file_name": name} for name in names])
    listing = list_input(str(tmp_path))
    unsafe = "unsafe file_name: absolute, or leading out of the folder"
    assert listing.rejected == (
        Rejected("1.png", "second metadata row of the same file", "row"),
        Rejected("gone.png", "metadata row without a file", "row"),
        Rejected("/etc/passwd", unsafe, "row"),
        Rejected("../up.png", unsafe, "row"),
        Rejected("metadata.jsonl:6", "metadata row without file_name", "row"),
        Rejected("gs://b/x.png", unsafe, "row"),
        Rejected("lonely.JPG", "no metadata row", "file"),
        Rejected("notes.txt", "not an image", "file"),
    )
    assert (listing.num_files, listing.num_rows) == (3, 7)


def test_a_csv_is_found_in_its_folder_or_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, ["1.png"], [])
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "metadata.csv").write_text("file_name,title\n1.png,One\n")
    by_folder, by_name = list_input(str(tmp_path)), list_input(str(tmp_path / "metadata.csv"))
    assert by_folder.references == by_name.references
    assert by_name.columns == ("title",)
    assert by_name.store.uri == by_folder.store.uri


def test_the_file_uri_of_a_csv_is_understood(tmp_path: Path) -> None:
    write(tmp_path, ["1.png"], [])
    (tmp_path / "list.csv").write_text("file_name\n1.png\n")
    listing = list_input(f"file://{tmp_path}/list.csv")
    assert listing.references["key"].to_pylist() == ["1.png"]
    assert rejected(listing) == {"metadata.jsonl": "not an image"}


def test_no_input_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"is empty or does not exist: no metadata\.jsonl"):
        list_input(str(tmp_path / "nowhere"))
    (tmp_path / "1.png").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"has 1 files, but no metadata\.jsonl"):
        list_input(str(tmp_path))
    with pytest.raises(DatasetError, match="there is no file"):
        list_input(str(tmp_path / "list.csv"))
    write(tmp_path / "train", ["2.png"], [{"file_name": "2.png"}])
    with pytest.raises(DatasetError, match=r"metadata in train/metadata\.jsonl: give file://.*/train as --input"):
        list_input(str(tmp_path))


@pytest.mark.parametrize("name", ["/a.png", "../a.png", "a/../../b.png", "C:\\a.png", "\\\\host\\a.png", "s3://b/a"])
def test_unsafe_names(name: str) -> None:
    assert is_unsafe(name)


@pytest.mark.parametrize("name", ["a.png", "./a.png", "a..b.png", "a/b c/é.png", "No. 5: red.png"])
def test_safe_names(name: str) -> None:
    assert not is_unsafe(name)
