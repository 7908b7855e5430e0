"""Lists and streams of the API server, as pure functions: lines of a body, what changed between two lists."""

import json
from collections.abc import Iterable, Iterator, Mapping

from momalisa.cluster.answers import GoneError
from momalisa.cluster.kinds import Manifest


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines as they come; only \\n ends one, since progress bars write \\r."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest


def selectors(labels: Mapping[str, str] | None, fields: Mapping[str, str] | None) -> dict[str, str]:
    """The query that asks for objects with these labels and fields."""
    chosen = {"labelSelector": labels, "fieldSelector": fields}
    return {name: ",".join(f"{k}={v}" for k, v in wanted.items()) for name, wanted in chosen.items() if wanted}


def differences(known: dict[str, Manifest], items: Iterable[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """What a new list tells that was not known; `known` is brought up to date."""
    now = {item["metadata"]["uid"]: item for item in items}
    for uid in known.keys() - now.keys():
        yield "DELETED", known.pop(uid)
    for uid, item in now.items():
        before, known[uid] = known.get(uid), item
        if before is None:
            yield "ADDED", item
        elif before["metadata"].get("resourceVersion") != item["metadata"].get("resourceVersion"):
            yield "MODIFIED", item


def changes(known: dict[str, Manifest], events: Iterable[bytes]) -> Iterator[tuple[str, Manifest]]:
    """What the lines of a watch tell; `known` is brought up to date. Raises GoneError: list again."""
    for line in events:
        event = json.loads(line)
        happened, item = event["type"], event["object"]
        if happened == "ERROR":
            raise GoneError(item.get("message", ""))
        uid = item["metadata"]["uid"]
        if happened == "DELETED":
            known.pop(uid, None)
        else:
            known[uid] = item
        yield happened, item
