from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from momalisa.artworks.inspection import FACTS, SQUARES, SUMS
from momalisa.artworks.plan import Plan, plan_dataset
from momalisa.artworks.prepare import PrepareConfig
from momalisa.artworks.quarantine import account_for, in_words, quarantine_lines
from momalisa.artworks.shards import split_of
from momalisa.artworks.sources import Listing, Rejected
from momalisa.errors import DatasetError
from momalisa.storage import open_store, sha256_bytes


def content(number: int) -> str:
    return sha256_bytes(str(number).encode())


def fact(index: int, number: int, num_bytes: int = 1000, reason: str | None = None) -> dict[str, Any]:
    found = {
        "key": f"{index}.png",
        "hash": content(number),
        "file_sha256": content(-number),
        "keeps_file": True,
        "num_bytes": num_bytes,
        "width": 40,
        "height": 50,
        **dict.fromkeys(SUMS, 2000 * 10),
        **dict.fromkeys(SQUARES, 2000 * 100),
    }
    return {"index": index, **({"reason": reason} if reason else found)}


def listing_of(names: Sequence[str], rejected: Sequence[Rejected] = (), **columns: list[str | None]) -> Listing:
    count = len(names)
    return Listing(
        store=open_store("memory://nowhere"),
        references=pa.table({"file_name": names, "key": names, "row": [-1] * count}),
        metadata=pa.table(columns or {"text": [f"picture {name}" for name in names]}),
        rejected=tuple(rejected),
        num_files=count + sum(entry.kind == "file" for entry in rejected),
        num_rows=count + sum(entry.kind == "row" for entry in rejected),
    )


def plan(listing: Listing, facts: list[dict[str, Any]], **settings: Any) -> Plan:
    config = PrepareConfig(**{"caption_template": "{text}", "validation_share": 0.3} | settings)
    return plan_dataset(listing, pa.Table.from_pylist(facts, schema=FACTS), config)


def many(count: int, **settings: Any) -> Plan:
    listing = listing_of([f"{n:04d}.png" for n in range(count)])
    return plan(listing, [fact(n, n) for n in range(count)], **settings)


def rows_of(made: Plan) -> list[dict[str, Any]]:
    return [row for shard in made.shards for row in shard.rows.to_pylist()]


def test_rows_are_in_the_order_of_their_content() -> None:
    made = many(40)
    for split in ("train", "validation"):
        hashes = [row["hash"] for row in rows_of(made) if row["split"] == split]
        assert hashes == sorted(hashes)
    assert made.num_rows == 40
    first = next(row for row in rows_of(made) if row["file_name"] == "0007.png")
    assert first["text"] == "picture 0007.png"
    assert first["image"] == {"key": "7.png", "sha256": content(-7), "keeps_file": True, "on_sheet": True}


def test_the_order_of_the_input_is_no_matter() -> None:
    names = [f"{n}.png" for n in range(20)]
    forth = plan(listing_of(names), [fact(n, n) for n in range(20)])
    facts = [fact(19 - n, 19 - n) | {"index": n} for n in range(20)]
    back = plan(listing_of(names[::-1]), facts)
    assert rows_of(forth) == rows_of(back)
    assert forth.statistics == back.statistics


def test_of_equal_pictures_the_smallest_usable_name_stays() -> None:
    names = ["c.png", "b.png", "a.png", *(f"x{n}.png" for n in range(20))]
    texts: list[str | None] = ["C", "B", None, *("x" for _ in range(20))]
    facts = [fact(n, 5 if n < 3 else 100 + n) for n in range(23)]
    made = plan(listing_of(names, text=texts), facts)
    assert made.quarantine == (("a.png", "empty caption"), ("c.png", "duplicate: the same picture as b.png"))
    assert made.num_rows == 21


def test_adding_artworks_moves_none_between_the_splits() -> None:
    few = {row["hash"]: row["split"] for row in rows_of(many(50))}
    more = {row["hash"]: row["split"] for row in rows_of(many(300))}
    assert few.items() <= more.items()


def test_a_larger_share_only_moves_artworks_to_validation() -> None:
    hashes = [content(number) for number in range(4000)]
    small = {h for h in hashes if split_of(h, 0.05) == "validation"}
    large = {h for h in hashes if split_of(h, 0.2) == "validation"}
    assert small < large
    assert 150 < len(small) < 250


def test_shards_keep_to_their_bounds() -> None:
    by_rows = many(100, shard_rows=16)
    assert max(len(shard.rows) for shard in by_rows.shards) == 16
    train = [shard.path for shard in by_rows.shards if shard.split == "train"]
    assert train[0] == f"data/train-00000-of-{len(train):05d}.parquet"
    listing = listing_of([f"{n:04d}.png" for n in range(30)])
    sizes = [3 * 2**20 if n == 4 else 2**19 for n in range(30)]
    by_bytes = plan(listing, [fact(n, n, sizes[n]) for n in range(30)], shard_mib=2)
    held = [sum(sizes[int(name[:4])] for name in s.rows["file_name"].to_pylist()) for s in by_bytes.shards]
    assert sorted(held)[-1] == 3 * 2**20  # a picture above the bound, alone
    assert sorted(held)[-2] <= 2 * 2**20
    assert by_bytes.num_rows == 30


def test_an_empty_split_names_a_share_that_would_do() -> None:
    for share in (0.0001, 0.9999):
        with pytest.raises(DatasetError, match=r"none of 12 artworks is for") as caught:
            many(12, validation_share=share)
        enough = float(str(caught.value).split("--validation-share ")[2].split()[0])
        assert min(many(12, validation_share=enough).splits.values()) >= 1


def test_too_little_is_an_error_that_says_why() -> None:
    with pytest.raises(DatasetError, match="only one artwork can be used"):
        many(1)
    with pytest.raises(DatasetError, match=r"none of the 2 inputs can be used \(broken; no metadata row\)"):
        plan(
            listing_of(["a.png"], [Rejected("b.png", "no metadata row", "file")]),
            [fact(0, 0, reason="broken: cut")],
        )


def test_columns_that_the_dataset_has_itself_are_replaced() -> None:
    names = [f"{n}.png" for n in range(20)]
    columns: dict[str, list[str | None]] = {name: ["old"] * 20 for name in ("split", "image", "hash", "key", "title")}
    made = plan(listing_of(names, **columns), [fact(n, n) for n in range(20)], caption_template="{title}")
    assert made.metadata_columns == ("key", "title")
    row = rows_of(made)[0]
    assert (row["key"], row["title"]) == ("old", "old")
    assert row["split"] in ("train", "validation")
    assert row["hash"] in {content(n) for n in range(20)}


def test_the_contact_sheet_is_spread_over_the_names() -> None:
    marked = sorted(row["file_name"] for row in rows_of(many(480)) if row["image"]["on_sheet"])
    assert marked == [f"{n:04d}.png" for n in range(0, 480, 10)]
    assert sum(row["image"]["on_sheet"] for row in rows_of(many(20))) == 20


def test_every_file_and_row_is_accounted_for() -> None:
    rejected = [Rejected("lost.png", "metadata row without a file", "row"), Rejected("z.txt", "not an image", "file")]
    names = [f"{n}.png" for n in range(20)]
    listing = listing_of(names, rejected)
    facts = [fact(n, n, reason=f"broken: {n}" if n < 2 else None) for n in range(20)]
    made = plan(listing, facts)
    account = account_for(listing, made)
    assert account.model_dump() == {
        "num_files": 21,
        "num_metadata_rows": 21,
        "num_written": 18,
        "num_quarantined": 4,
        "quarantined_by_reason": {"broken": 2, "metadata row without a file": 1, "not an image": 1},
    }
    assert in_words(account)[0] == "21 files and 21 metadata rows: 18 pictures written, 4 entries in quarantine"
    assert quarantine_lines(made.quarantine).decode().splitlines()[0] == '{"file_name": "0.png", "reason": "broken: 0"}'


def test_a_config_that_cannot_be_names_the_fix(tmp_path: Path) -> None:
    for settings in ({"validation_share": 0}, {"validation_share": 1}, {"shard_rows": 0}, {"max_pixels": 10**9}):
        with pytest.raises(ValueError, match="must"):
            PrepareConfig(**settings)
