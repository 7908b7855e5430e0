"""State by parameter name, through every ZeRO stage, on one and two ranks of gloo."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing
from torch import distributed

from momalisa.config import override
from momalisa.recipes import recipe
from tests.support.gcs_emulator import free_port
from tests.support.small_model import write_small_model

CASES = [(1, 0, "fp32"), (2, 0, "fp32"), (2, 1, "fp32"), (2, 2, "fp32"), (2, 3, "fp32"), (2, 2, "bf16"), (2, 3, "bf16")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("engine") / "model")


@pytest.mark.parametrize(("world_size", "stage", "precision"), CASES)
def test_state_travels_and_the_steps_after_it_are_bitwise_the_same(
    model: Path, tmp_path: Path, world_size: int, stage: int, precision: str
) -> None:
    arguments = (world_size, stage, precision, free_port(), str(model), str(tmp_path / "result.pt"))
    torch.multiprocessing.spawn(_check, arguments, nprocs=world_size)
    result = torch.load(tmp_path / "result.pt")
    assert result["moved"] > 1e-4
    assert result["round_trip"] == 0.0
    assert result["resumed"] == 0.0
    assert result["norm"] > 0.0


def _check(rank: int, world_size: int, stage: int, precision: str, port: int, model: str, result: str) -> None:
    from momalisa.diffusion.loading import load_components
    from momalisa.training.denoiser import build_denoiser
    from momalisa.training.engine import TrainingEngine

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world_size), LOCAL_RANK=str(rank))
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size)
    changes = [f"resources.num_workers={world_size}", f"engine.zero_stage={stage}", f"engine.precision={precision}"]
    changes += ["global_batch_size=4", "micro_batch_size=1", "ema_decay=0.9", "model.train_text_encoder=false"]
    config = override(recipe("demo"), changes)

    def make() -> TrainingEngine:
        components = load_components(model, parts=("unet",))
        return TrainingEngine(
            build_denoiser(components, config), config, world_size=world_size, device=torch.device("cpu")
        )

    def loss_of(engine: TrainingEngine, seed: int, weight: float = 1.0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        dtype = engine.compute_dtype if stage else torch.float32
        latents, target = (torch.randn(1, 4, 8, 8, generator=generator) for _ in range(2))
        width = engine.module.unet.config.cross_attention_dim
        text = torch.randn(1, 5, width, generator=generator).to(dtype)
        prediction = engine(latents.to(dtype), torch.tensor([10]), text_embeddings_BTD=text)
        return ((prediction.float() - target) ** 2).mean() * weight

    def run(engine: TrainingEngine, first: int, last: int) -> None:
        for step in range(first, last):
            for micro in range(engine.accumulation_steps):
                engine.backward(loss_of(engine, 1000 * step + micro * world_size + rank))
                engine.micro_step(1e-2)
            engine.after_step(step + 1)

    def state(engine: TrainingEngine) -> dict[str, torch.Tensor]:
        return {f"{k}/{n}": t.clone() for k in engine.state_kinds for n, t in engine.state_of(k)}

    engine = make()
    run(engine, 0, 2)
    saved = state(engine)
    run(engine, 2, 4)
    final = state(engine)
    again = make()
    again.prepare_optimizer_state(lambda: loss_of(again, 7, weight=0.0), 2)
    for kind in again.state_kinds:
        own = ((n, saved[f"{kind}/{n}"]) for n in again.parameters)
        again.set_state(kind, own)
    again.sync_parameters()
    back = state(again)
    run(again, 2, 4)
    if rank == 0 or stage:
        resumed = state(again)
    if rank == 0:
        torch.save(_compare(saved, back, final, resumed, engine.gradient_norm), result)
    distributed.barrier()
    distributed.destroy_process_group()


def _compare(saved: Any, back: Any, final: Any, resumed: Any, norm: float) -> dict[str, float]:
    def largest(one: Any, other: Any) -> float:
        return max(float((one[name] - other[name]).abs().max()) for name in one)

    masters = {name: tensor for name, tensor in saved.items() if name.startswith("master/")}
    return {
        "round_trip": largest(saved, back),
        "resumed": largest(final, resumed),
        "moved": largest(masters, final),
        "norm": norm,
    }
