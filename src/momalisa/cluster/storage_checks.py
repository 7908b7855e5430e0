"""What a job reads and writes, looked at from this machine as far as it may."""

import time
from collections.abc import Callable, Iterator
from typing import Literal

from pydantic import ValidationError

from momalisa.artworks.manifest import MANIFEST_NAME, DatasetManifest
from momalisa.cluster.config import JobConfig, train_model
from momalisa.errors import AccessDeniedError, ObjectNotFoundError, StorageError, UriError
from momalisa.storage import RetryPolicy, Store, open_store
from momalisa.storage.uri import parse_uri
from momalisa.training.lease import OWNER_KEY, Owner
from momalisa.training.run import RUN_FILE

Found = tuple[Literal["ok", "unknown", "failed"], str, str]
"""An outcome, words, and the fix."""
Ask = Callable[[str], Iterator[Found]]

_QUICK = RetryPolicy(max_attempts=2, deadline_s=8.0, attempt_timeout_s=8.0, stall_timeout_s=5.0)
_LONGEST_REASON = 160
_LOCAL = ("file", "memory")


def storage_findings(config: JobConfig) -> Iterator[Found]:
    """Of data, output and model."""
    for label, uri in (("data", config.data_uri), ("output", config.output_uri)):
        yield from _visible(label, uri)
    if config.kind == "train":
        yield from _of_training(config)


def _of_training(config: JobConfig) -> Iterator[Found]:
    asked = list(_asking("the dataset", config.data_uri, _dataset))
    yield from asked
    if any(outcome == "unknown" for outcome, _, _ in asked):
        yield "unknown", "nor was the output looked at", ""  # It would only take as long again.
    else:
        yield from _asking("the output", config.output_uri, _output)
    yield from _model(config)


def _visible(label: str, uri: str) -> Iterator[Found]:
    try:
        scheme = parse_uri(uri).scheme
    except UriError as e:
        yield "failed", f"{label}: {e}", "give a URI such as gs://bucket/folder"
        return
    if scheme in _LOCAL:
        yield "failed", f"{label} {uri} is of this machine, which no pod sees", "give a bucket: gs://bucket/folder"


def _asking(what: str, uri: str, ask: Ask) -> Iterator[Found]:
    try:
        if parse_uri(uri).scheme in _LOCAL:
            return
        yield from ask(uri)
    except UriError:
        return  # told already
    except AccessDeniedError as e:
        yield "unknown", f"{what} is not for this machine to read ({_short(e)}); the job itself may be allowed to", ""
    except StorageError as e:
        yield "unknown", f"{what} cannot be looked at from this machine: {_short(e)}", ""


def _short(error: StorageError) -> str:
    text = str(error)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


def _dataset(uri: str) -> Iterator[Found]:
    store = open_store(uri, _QUICK)
    try:
        manifest = DatasetManifest.model_validate_json(store.read_bytes(MANIFEST_NAME))
    except ObjectNotFoundError:
        yield "failed", f"there is no dataset in {uri}", "check --data, or make one: momalisa jobs submit prepare"
        return
    except ValidationError:
        yield "failed", f"the manifest of {uri} is not of this version", "prepare the dataset with this version"
        return
    rows = sum(shard.num_rows for shard in manifest.shards_of("train"))
    yield "ok", f"the dataset has {rows:,} pictures to train on", ""


def _output(uri: str) -> Iterator[Found]:
    store = open_store(uri, _QUICK)
    owner = _owner(store)
    if owner is not None and not owner.is_gone:
        at_work = f"a run is at work in the output (on {owner.node}, heard of {time.time() - owner.renewed:.0f} s ago)"
        yield "failed", at_work, "another --output; or cancel that one, and wait two minutes where it was killed"
        return
    there = store.exists(RUN_FILE)
    yield "ok", "there is a run in the output: it will go on" if there else "the output is new", ""


def _owner(store: Store) -> Owner | None:
    try:
        return Owner.model_validate_json(store.read_bytes(OWNER_KEY))
    except (ObjectNotFoundError, ValidationError):  # The latter is of another version; the job itself will tell.
        return None


def _model(config: JobConfig) -> Iterator[Found]:
    uri = train_model(config)
    if uri == "tiny":
        yield "ok", "the model `tiny` is in the image", ""
    elif "://" in uri:
        yield from _visible("model", uri)
        yield from _asking("the model", uri, _model_index)
    else:
        yield "unknown", f"the model {uri} comes from a hub, or is in the image: the job will tell", ""


def _model_index(uri: str) -> Iterator[Found]:
    if open_store(uri, _QUICK).exists("model_index.json"):
        yield "ok", f"there is a model in {uri}", ""
    else:
        yield "failed", f"there is no model in {uri} (no model_index.json)", "check model.uri"
