from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from momalisa.errors import IntegrityError
from momalisa.storage import Store, open_store, sha256_file
from momalisa.training.checkpoint import (
    CheckpointManifest,
    RankFile,
    best_of,
    check_sizes,
    folder_name,
    list_checkpoints,
    newest_intact,
    prune,
)
from momalisa.training.checkpoint_io import fetch_checkpoint


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "checkpoints")


def write(store: Store, step: int, attempt: str = "aaaaaa", loss: float | None = None) -> CheckpointManifest:
    folder = folder_name(step, attempt)
    path = Path(store.uri.removeprefix("file://")) / folder / "rank-00000.safetensors"
    path.parent.mkdir(parents=True)
    save_file({"master/w": torch.full((3,), float(step))}, path)
    manifest = CheckpointManifest(
        folder=folder,
        step=step,
        num_samples_seen=step * 4,
        config={},
        dataset_fingerprint="d",
        model_fingerprints={},
        kinds=("master",),
        world_size=1,
        zero_stage=2,
        loss_scale=None,
        validation_loss=loss,
        progress={},
        files=(RankFile(name=path.name, num_bytes=path.stat().st_size, sha256=sha256_file(path), checksum=None),),
    )
    store.write_bytes(f"{folder}/manifest.json", manifest.model_dump_json().encode())
    return manifest


def test_the_newest_comes_first_and_a_folder_without_manifest_is_none(store: Store) -> None:
    for step in (5, 20, 10):
        write(store, step)
    store.write_bytes("step-00000030-aaaaaa/rank-00000.safetensors", b"unfinished")
    assert [m.step for m in list_checkpoints(store)] == [20, 10, 5]


def test_a_file_cut_short_falls_back_and_says_so(store: Store) -> None:
    write(store, 5)
    newest = write(store, 10)
    store.write_bytes(f"{newest.folder}/rank-00000.safetensors", b"short")
    with pytest.raises(IntegrityError, match="5 bytes"):
        check_sizes(store, newest)
    said: list[str] = []
    found = newest_intact(store, said.append)
    assert found is not None
    assert found.step == 5
    assert "falling back" in said[0]


def test_a_missing_file_and_a_broken_manifest_fall_back_too(store: Store) -> None:
    write(store, 5)
    store.delete(f"{write(store, 10).folder}/rank-00000.safetensors")
    store.write_bytes(f"{write(store, 15).folder}/manifest.json", b"{]")
    said: list[str] = []
    found = newest_intact(store, said.append)
    assert found is not None
    assert found.step == 5
    assert len(said) == 2


def test_another_content_of_the_same_size_is_found_by_its_hash(store: Store, tmp_path: Path) -> None:
    manifest = write(store, 5)
    key = f"{manifest.folder}/rank-00000.safetensors"
    data = bytearray(store.read_bytes(key))
    data[-1] ^= 1
    store.write_bytes(key, bytes(data))
    check_sizes(store, manifest)
    with pytest.raises(IntegrityError, match="another hash"):
        fetch_checkpoint(store, manifest, tmp_path / "fetched")


def test_pruning_keeps_the_newest_the_best_and_what_is_under_way(store: Store) -> None:
    write(store, 5, loss=0.1)
    for step in (10, 15, 20):
        write(store, step, loss=0.2)
    store.write_bytes("step-00000025-aaaaaa/rank-00000.safetensors", b"ours, under way")
    store.write_bytes("step-00000012-bbbbbb/rank-00000.safetensors", b"left behind by another attempt")
    prune(store, keep_last=2, keep_best=True, attempt="aaaaaa")
    assert [m.step for m in list_checkpoints(store)] == [20, 15, 5]
    folders = {e.key.split("/")[0] for e in store.list()}
    assert "step-00000025-aaaaaa" in folders
    assert "step-00000012-bbbbbb" not in folders


def test_pruning_does_not_count_what_is_damaged(store: Store) -> None:
    write(store, 5)
    damaged = write(store, 10)
    store.write_bytes(f"{damaged.folder}/{damaged.files[0].name}", b"cut short")
    write(store, 7)
    prune(store, keep_last=1, keep_best=True, attempt="aaaaaa")
    assert [m.step for m in list_checkpoints(store)] == [7]


def test_the_best_is_the_lowest_loss(store: Store) -> None:
    manifests = [write(store, 5, loss=0.3), write(store, 10, loss=0.1), write(store, 15)]
    best = best_of(manifests)
    assert best is not None
    assert best.step == 10
    assert best_of([manifests[2]]) is None
