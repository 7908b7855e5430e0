"""The training loop of one rank: load, step, save, validate, log."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from momalisa.errors import NonFiniteLossError
from momalisa.training.baseline import Baseline
from momalisa.training.checkpoint_io import CheckpointWriter
from momalisa.training.evaluation import Evaluator
from momalisa.training.learner import Learner
from momalisa.training.loader import MicroBatch, TrainLoader
from momalisa.training.replay import DrawnLatents, replay_batch, share_of_replay
from momalisa.training.reporter import Reporter
from momalisa.training.run import Host
from momalisa.training.schedule import learning_rate_at
from momalisa.training.stopping import StopWatch
from momalisa.training.world import World


@dataclass(slots=True)
class Progress:
    """What the loop carries from step to step and across a resume."""

    step: int = 0
    best_loss: float | None = None
    validations_without_better: int = 0
    best_step: int = 0
    train_seconds: float = 0.0
    """Of the steps, waiting for data included, over all attempts that led here."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What the loop works with: made by `setup.py`, so that the loop itself stays a story."""

    learner: Learner
    world: World
    host: Host
    loader: TrainLoader
    evaluator: Evaluator
    writer: CheckpointWriter
    reporter: Reporter
    stop_watch: StopWatch
    replay: DrawnLatents | None
    identity: dict[str, Any]
    """Dataset and model fingerprints and the config, for the checkpoints."""
    baseline: Baseline


def run_steps(tools: Tools, progress: Progress) -> str:
    """Trains to the last step, or until patience or a request ends it; gives why it ended.

    `completed`, `patience` or `stopped`. Collective. Raises NonFiniteLossError naming the samples.
    """
    config = tools.learner.config
    preempted = False
    began = time.monotonic()
    for micro_batches in tools.loader:
        waited = time.monotonic() - began
        step = progress.step + 1
        loss, stop = _optimize(tools, micro_batches, step)
        tools.learner.engine.after_step(step)
        progress.step = step
        seconds = time.monotonic() - began
        progress.train_seconds += seconds
        tools.reporter.log_step(
            step,
            loss=loss,
            learning_rate=learning_rate_at(config.optimizer, step, config.max_steps),
            gradient_norm=tools.learner.engine.gradient_norm,
            num_images=config.global_batch_size,
            seconds=seconds,
            waited=waited,
        )
        last = step >= config.max_steps
        validation_loss = None
        if step % config.validation.every_steps == 0 and not last:
            validation_loss = _validate(tools, progress)
        best = validation_loss is not None and progress.best_step == step and config.checkpoint.keep_best
        leaving = tools.host.preemption_imminent() and not preempted
        if step % config.checkpoint.every_steps == 0 or best or last or stop or leaving:
            _save(tools, progress, validation_loss)
        if leaving:
            preempted = True
            tools.writer.wait()
            tools.reporter.say(f"a node is about to go: saved a checkpoint at step {step}")
        if last:
            return "completed"
        if stop:
            return "stopped"
        if _out_of_patience(tools, progress):
            return "patience"
        began = time.monotonic()
    return "completed"


def _optimize(tools: Tools, micro_batches: Sequence[MicroBatch], step: int) -> tuple[float, bool]:
    """One optimizer step; gives the global batch's mean loss, and whether the run was asked to stop."""
    learner, world, config = tools.learner, tools.world, tools.learner.config
    rate = learning_rate_at(config.optimizer, step, config.max_steps)
    losses: list[torch.Tensor] = []
    finite = torch.ones((), dtype=torch.bool, device=learner.device)
    for number, batch in enumerate(micro_batches):
        torch.manual_seed(_dropout_seed(config.seed, step, number, world))
        batch_losses, loss = _forward(tools, batch, step, number)
        learner.engine.backward(loss)
        losses.append(batch_losses)
        finite = finite & torch.isfinite(loss.detach())
        if number < len(micro_batches) - 1:
            learner.engine.micro_step(rate)
    flat = torch.cat(losses)
    # One reduction a step: the mean loss, whether all of it is finite, and whether to stop.
    total, broken, stop = world.sum(
        [float(flat.sum()), float(not (finite & torch.isfinite(flat).all())), float(tools.stop_watch.asked)]
    )
    if broken:
        # Before the weights move: the last checkpoint stays the newest good state.
        raise NonFiniteLossError(_name_samples(world, micro_batches, losses, step))
    learner.engine.micro_step(rate)
    return total / config.global_batch_size, stop > 0


def _forward(tools: Tools, batch: MicroBatch, step: int, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The samples' losses (B,), detached, and the loss to go backward from, replay included."""
    learner, config = tools.learner, tools.learner.config
    samples = learner.latent_batch(batch)
    if tools.replay is None or config.replay is None:
        losses = learner.losses(learner.engine, samples, config.objective)
        return losses.detach(), losses.mean()
    per_step = max(1, round(config.replay.ratio * config.global_batch_size))
    num_slots = learner.engine.accumulation_steps * tools.world.size
    first, count = share_of_replay(per_step, number * tools.world.size + tools.world.rank, num_slots)
    replayed = replay_batch(
        learner, tools.replay, step=step, first=first, count=max(1, count), per_step=per_step, seed=config.seed
    )
    if replayed.latents.shape[1:] == samples.latents.shape[1:]:
        both = learner.losses(learner.engine, samples.extended_by(replayed), config.objective)
        losses, replay_losses = both[: len(samples.timesteps)], both[len(samples.timesteps) :]
    else:
        losses = learner.losses(learner.engine, samples, config.objective)
        replay_losses = learner.losses(learner.engine, replayed, config.objective)
    # A slot without a replay sample still runs one, weighing nothing: ranks must do the same collectives.
    share = replay_losses[:count].sum() * (num_slots / per_step) + replay_losses[count:].sum() * 0.0
    return losses.detach(), losses.mean() + config.replay.weight * share


def _validate(tools: Tools, progress: Progress) -> float:
    """The validation loss, told, and remembered where it is the best so far."""
    learner = tools.learner
    tools.reporter.stage("validating", progress.step)
    measured = tools.evaluator.measure(learner.evaluated(learner.averaged_kind))
    pictures = tools.evaluator.draw_validation_prompts()
    settings = learner.config.validation
    if progress.best_loss is None or measured.validation_loss < progress.best_loss * (1 - settings.min_improvement):
        progress.best_loss, progress.best_step = measured.validation_loss, progress.step
        progress.validations_without_better = 0
    else:
        progress.validations_without_better += 1
    tools.reporter.log_validation(progress.step, measured, pictures, learner.weight_change())
    tools.reporter.stage("training", progress.step)
    return measured.validation_loss


def _save(tools: Tools, progress: Progress, validation_loss: float | None) -> None:
    learner, config = tools.learner, tools.learner.config
    state = {
        **tools.identity,
        "step": progress.step,
        "num_samples_seen": progress.step * config.global_batch_size,
        "zero_stage": config.engine.zero_stage,
        "loss_scale": learner.engine.loss_scale,
        "validation_loss": validation_loss,
        "progress": {
            "best_loss": progress.best_loss,
            "best_step": progress.best_step,
            "validations_without_better": progress.validations_without_better,
            "train_seconds": progress.train_seconds,
        },
    }
    tools.reporter.keep_metrics()
    folder = tools.writer.save(learner.engine, state)
    tools.host.report({"step": progress.step, "checkpoint": folder})


def _out_of_patience(tools: Tools, progress: Progress) -> bool:
    patience = tools.learner.config.validation.patience
    return patience is not None and progress.validations_without_better >= patience


def _dropout_seed(seed: int, step: int, number: int, world: World) -> int:
    """What dropout (LoRA's) may draw from: a function of the position, so that no generator is saved."""
    slot = number * world.size + world.rank
    return (seed * 1_000_003 + step * 10_007 + slot) % 2**63


def _name_samples(world: World, micro_batches: Sequence[MicroBatch], losses: Sequence[torch.Tensor], step: int) -> str:
    own = [
        name
        for batch, values in zip(micro_batches, losses, strict=True)
        for name, value in zip(batch.names, values, strict=True)
        if not torch.isfinite(value)
    ]
    names = [name for share in world.gather(own) for name in share] or ["replayed pictures of the base model"]
    return (
        f"the loss is not finite at step {step}, for {', '.join(names[:8])}"
        f"{f' and {len(names) - 8} more' if len(names) > 8 else ''}: look at these pictures, lower "
        "optimizer.learning_rate, or use engine.precision=bf16; the last checkpoint is from before"
    )
