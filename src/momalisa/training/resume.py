"""A learner from a checkpoint: the newest intact one to go on from, or the best one to end with."""

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from momalisa.errors import IntegrityError
from momalisa.storage import Store
from momalisa.training.checkpoint import MANIFEST_NAME, CheckpointManifest, best_of, list_checkpoints, newest_intact
from momalisa.training.checkpoint_io import fetch_checkpoint, load_into
from momalisa.training.learner import Learner
from momalisa.training.loop import Progress
from momalisa.training.world import World


def restore(store: Store, learner: Learner, world: World, say: Callable[[str], None]) -> Progress:
    """Loads the newest intact checkpoint, or leaves the learner at step 0. Collective.

    One whose bytes turn out to be damaged is moved aside, and the one before it tried.
    """
    while True:
        manifest: CheckpointManifest | None = world.broadcast(newest_intact(store, say) if world.is_main else None)
        if manifest is None:
            return Progress()
        problem = _load(store, manifest, learner, world)
        if problem is None:
            break
        say(f"{problem}; falling back to an older checkpoint")
        if world.is_main:
            store.delete(f"{manifest.folder}/{MANIFEST_NAME}")
        world.barrier()
    say(f"resumed at step {manifest.step} from checkpoint {manifest.folder}")
    return Progress(
        step=manifest.step,
        best_loss=manifest.progress["best_loss"],
        best_step=manifest.progress["best_step"],
        validations_without_better=manifest.progress["validations_without_better"],
        train_seconds=manifest.progress["train_seconds"],
    )


def return_to_best(store: Store, learner: Learner, world: World, say: Callable[[str], None]) -> None:
    """Loads the checkpoint of the lowest validation loss, where there is an intact one. Collective."""
    best: CheckpointManifest | None = world.broadcast(best_of(list_checkpoints(store)) if world.is_main else None)
    if best is None:
        return
    problem = _load(store, best, learner, world)
    say(problem or f"what is judged and exported is the best checkpoint, of step {best.step}")


def _load(store: Store, manifest: CheckpointManifest, learner: Learner, world: World) -> str | None:
    """What is wrong with it, or None. Nothing is changed where anything is wrong."""
    folder = Path(world.broadcast_local(mkdtemp(prefix="momalisa-resume-") if world.local_rank == 0 else ""))
    problem = None
    try:
        if world.local_rank == 0:
            try:
                fetch_checkpoint(store, manifest, folder)
            except IntegrityError as e:
                problem = str(e)
        problem = next((p for p in world.gather(problem) if p), None)
        if problem is None:
            learner.engine.prepare_optimizer_state(learner.zero_loss, manifest.step)
            load_into(learner.engine, manifest, folder)
            world.barrier()
    finally:
        if world.local_rank == 0:
            shutil.rmtree(folder, ignore_errors=True)
    return problem
