"""What was left out of a dataset, and the account of every input file and metadata row."""

import json
from collections import Counter
from collections.abc import Iterable

from momalisa.artworks.manifest import InputAccount
from momalisa.artworks.plan import Plan
from momalisa.artworks.sources import Listing

QUARANTINE_NAME = "quarantine.jsonl"


def quarantine_lines(quarantine: Iterable[tuple[str, str]]) -> bytes:
    """`quarantine.jsonl`: a JSON object with `file_name` and `reason` a line."""
    lines = (json.dumps({"file_name": name, "reason": reason}, ensure_ascii=False) for name, reason in quarantine)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def account_for(listing: Listing, plan: Plan) -> InputAccount:
    """Counts by reason (the part before its colon); each reference and each rejected file or row counts once."""
    reasons = Counter(reason.partition(":")[0] for _, reason in plan.quarantine)
    account = InputAccount(
        num_files=listing.num_files,
        num_metadata_rows=listing.num_rows,
        num_written=plan.num_rows,
        num_quarantined=len(plan.quarantine),
        quarantined_by_reason=dict(sorted(reasons.items())),
    )
    assert account.num_written + account.num_quarantined == len(listing.references) + len(listing.rejected)
    assert sum(account.quarantined_by_reason.values()) == account.num_quarantined
    return account


def in_words(account: InputAccount) -> list[str]:
    """The account as lines for a terminal."""
    files, rows = account.num_files, account.num_metadata_rows
    lines = [f"{files} files and {rows} metadata rows: {account.num_written} pictures written"]
    width = max((len(str(count)) for count in account.quarantined_by_reason.values()), default=0)
    if account.num_quarantined:
        lines[0] += f", {account.num_quarantined} entries in quarantine"
    lines += [f"  {count:>{width}}  {reason}" for reason, count in account.quarantined_by_reason.items()]
    return lines
