"""The optimizer step, by DeepSpeed: the only module that imports it.

At ZeRO 1 to 3 DeepSpeed keeps fp32 masters and moments in partitions, which `safe_*` functions read
and write by parameter. At stage 0 the parameters are their own fp32 masters and lower precisions come
by autocast, so that torch's own state is all there is. Either way `state_of` and `set_state` speak of
whole fp32 tensors by parameter name, whatever the stage and the number of workers.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import deepspeed
import torch
from torch import Tensor, nn

from momalisa.errors import NonFiniteLossError
from momalisa.training.config import TrainConfig
from momalisa.training.eight_bit import read_moment, write_moment
from momalisa.training.ema import PartitionedEma

MOMENTS = ("exp_avg", "exp_avg_sq")
COMPUTE_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingEngine:
    """One rank's share of the model that learns, its optimizer and its moving average.

    `torch.distributed` must be initialised. Every method is collective: all ranks call it, in the same
    order.
    """

    def __init__(self, module: nn.Module, config: TrainConfig, *, world_size: int, device: torch.device) -> None:
        self.stage = config.engine.zero_stage
        self.device = device
        self.compute_dtype = COMPUTE_DTYPES[config.engine.precision]
        self.accumulation_steps = config.accumulation_steps(world_size)
        # Its CPU communication operator is compiled at the first use, which needs a compiler and half a minute.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        module.to(device)
        trainable = [p for p in module.parameters() if p.requires_grad]
        self._engine, _, _, _ = deepspeed.initialize(
            model=module,
            optimizer=_optimizer(trainable, config),
            config=_deepspeed_config(config, self.accumulation_steps, world_size),
            dist_init_required=False,
        )
        self.module: Any = self._engine.module
        self._norm = 0.0
        self._eight_bit = config.optimizer.eight_bit
        if config.engine.channels_last:
            # After DeepSpeed has sent the weights around, which it does for plain layouts only.
            self.module.to(memory_format=torch.channels_last)
        self.parameters: dict[str, nn.Parameter] = {
            name: p for name, p in self.module.named_parameters() if p.requires_grad
        }
        self._ema = PartitionedEma(self._masters(), config.ema_decay) if config.ema_decay else None
        if config.engine.compile:
            self._engine.compile()

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """The module's forward pass."""
        prediction: Tensor = self._engine(*args, **kwargs)
        return prediction

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """What a forward pass outside of the engine's own (an evaluation, say) runs under."""
        if self.compute_dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.compute_dtype)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of one micro-batch; DeepSpeed divides by the accumulation steps."""
        self._engine.backward(loss)

    def micro_step(self, learning_rate: float) -> None:
        """Ends a micro-batch; at the last one of a step the weights move."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        if self.stage == 0 and self._engine.is_gradient_accumulation_boundary():
            # DeepSpeed keeps no norm at this stage, and clips in its step.
            gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
            self._norm = float(torch.nn.utils.get_total_norm(gradients)) / (self.loss_scale or 1.0)
            if not math.isfinite(self._norm) and self.loss_scale is None:
                # Clipping would turn every weight into NaN; at other precisions and stages DeepSpeed skips the step.
                raise NonFiniteLossError("the gradients are not finite though the loss is: lower the learning rate")
        self._engine.step()

    def after_step(self, step: int) -> None:
        """Updates the moving average after optimizer step `step`, counted from 1."""
        if self._ema is not None:
            self._ema.update(step)

    @property
    def gradient_norm(self) -> float:
        """The global norm of the last step's gradients, before clipping; 0 before the first."""
        norm = self._norm if self.stage == 0 else self._engine.get_global_grad_norm()
        return float(norm) if norm is not None else 0.0

    @property
    def loss_scale(self) -> float | None:
        """fp16's dynamic loss scale; None at other precisions."""
        if self.compute_dtype != torch.float16:
            return None
        if self.stage == 0:
            return float(self._engine.torch_autocast_z0_gradscaler.get_scale())
        return float(self._engine.optimizer.loss_scaler.cur_scale)

    def set_loss_scale(self, scale: float) -> None:
        """Restores what `loss_scale` said."""
        if self.compute_dtype != torch.float16:
            return
        if self.stage == 0:
            self._engine.torch_autocast_z0_gradscaler.update(new_scale=scale)
        else:
            self._engine.optimizer.loss_scaler.cur_scale = scale

    @property
    def state_kinds(self) -> tuple[str, ...]:
        """What `state_of` gives for each parameter."""
        return ("master", *MOMENTS, *(("ema",) if self._ema is not None else ()))

    def state_of(self, kind: str) -> Iterator[tuple[str, Tensor]]:
        """Each parameter's name and whole fp32 tensor of a kind, gathered one at a time on every rank.

        The tensors may be views of live state: copy what is to be kept.
        """
        with self._averages_as_masters() if kind == "ema" else contextlib.nullcontext():
            for name, parameter in self.parameters.items():
                yield name, self._get(parameter, "master" if kind == "ema" else kind)

    def set_state(self, kind: str, tensors: Iterator[tuple[str, Tensor]]) -> None:
        """Sets whole fp32 tensors of a kind, by name. Moments need `prepare_optimizer_state` before."""
        with self._averages_as_masters() if kind == "ema" else contextlib.nullcontext(), torch.no_grad():
            for name, tensor in tensors:
                self._set(self.parameters[name], "master" if kind == "ema" else kind, tensor.to(self.device))

    def sync_parameters(self) -> None:
        """Copies the masters into the parameters that the forward pass uses, after `set_state`."""
        if self.stage == 0:
            return
        for parameter in self.parameters.values():
            master = self._get(parameter, "master")
            with torch.no_grad(), self._gathered(parameter):
                parameter.data.copy_(master.view(parameter.shape))

    def prepare_optimizer_state(self, zero_loss: Any, step: int) -> None:
        """Makes the optimizer's state exist, by a step of zero gradients at learning rate 0, as of step `step`.

        `zero_loss` is a function that gives a loss of 0 which depends on every parameter.
        """
        for _ in range(self.accumulation_steps):
            self.backward(zero_loss())
            self.micro_step(0.0)
        for state in self._torch_optimizer.state.values():
            if "step" in state:
                # bitsandbytes counts in an int.
                state["step"] = step if self._eight_bit else torch.full_like(state["step"], float(step))

    @property
    def _torch_optimizer(self) -> Any:
        optimizer = self._engine.optimizer
        return optimizer if isinstance(optimizer, torch.optim.Optimizer) else optimizer.optimizer

    def _masters(self) -> list[Tensor]:
        optimizer = self._engine.optimizer
        if self.stage == 0:
            return [p.data for p in self.parameters.values()]
        if self.stage == 3:
            return list(optimizer.fp32_partitioned_groups_flat)
        return list(getattr(optimizer, "single_partition_of_fp32_groups", None) or optimizer.fp32_groups_flat_partition)

    def _averages_as_masters(self) -> contextlib.AbstractContextManager[None]:
        assert self._ema is not None
        return self._ema.in_place_of_masters()

    def _get(self, parameter: nn.Parameter, kind: str) -> Tensor:
        if self.stage == 0:
            full = parameter.data if kind == "master" else self._plain_moment(parameter, kind)
        elif kind == "master":
            full = deepspeed.utils.safe_get_full_fp32_param(parameter)
        else:
            full = deepspeed.utils.safe_get_full_optimizer_state(parameter, kind)
        assert full is not None, f"no {kind} of this parameter"
        shape = parameter.ds_shape if self.stage == 3 else parameter.shape  # type: ignore[attr-defined]
        return full.detach().view(shape)

    def _plain_moment(self, parameter: nn.Parameter, kind: str) -> Tensor:
        state = self._torch_optimizer.state[parameter]
        moment: Tensor = read_moment(state, kind) if self._eight_bit else state[kind]
        return moment

    def _set(self, parameter: nn.Parameter, kind: str, value: Tensor) -> None:
        if self.stage == 0:
            if kind in MOMENTS and self._eight_bit:
                write_moment(self._torch_optimizer.state[parameter], kind, value)
            else:
                (parameter.data if kind == "master" else self._plain_moment(parameter, kind)).copy_(value)
        elif self.stage == 3:
            self._set_partition(parameter, kind, value)
        elif kind == "master":
            deepspeed.utils.safe_set_full_fp32_param(parameter, value)
        else:
            deepspeed.utils.safe_set_full_optimizer_state(parameter, value, kind)

    def _set_partition(self, parameter: nn.Parameter, kind: str, value: Tensor) -> None:
        # safe_set_full_* cuts past the end where the workers do not divide the elements, so pad by ourselves.
        size = parameter.ds_tensor.numel()  # type: ignore[attr-defined]
        padded = torch.zeros(size * self._engine.dp_world_size, device=value.device)
        padded[: value.numel()] = value.flatten()
        rank = torch.distributed.get_rank()
        own = padded[rank * size : (rank + 1) * size]
        if kind == "master":
            deepspeed.utils.safe_set_local_fp32_param(parameter, own)
        else:
            deepspeed.utils.safe_set_local_optimizer_state(parameter, own, kind)

    def _gathered(self, parameter: nn.Parameter) -> contextlib.AbstractContextManager[Any]:
        if self.stage == 3:
            gathered: contextlib.AbstractContextManager[Any] = deepspeed.zero.GatheredParameters(
                [parameter], modifier_rank=0
            )
            return gathered
        return contextlib.nullcontext()


def _optimizer(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    settings = config.optimizer
    arguments: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": (settings.adam_beta1, settings.adam_beta2),
        "eps": settings.adam_epsilon,
        "weight_decay": settings.weight_decay,
    }
    if settings.eight_bit:
        import bitsandbytes

        eight_bit: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit(parameters, **arguments)
        return eight_bit
    return torch.optim.AdamW(parameters, **arguments, fused=True)


def _deepspeed_config(config: TrainConfig, accumulation_steps: int, world_size: int) -> dict[str, Any]:
    settings = config.engine
    zero: dict[str, Any] = {"stage": settings.zero_stage}
    if settings.cpu_offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    result: dict[str, Any] = {
        "train_batch_size": config.micro_batch_size * accumulation_steps * world_size,
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": accumulation_steps,
        "gradient_clipping": config.optimizer.max_grad_norm,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
    }
    if settings.precision != "fp32":
        dtype = "bfloat16" if settings.precision == "bf16" else "float16"
        if settings.zero_stage == 0:
            result["torch_autocast"] = {"enabled": True, "dtype": dtype}
        else:
            result[settings.precision] = {"enabled": True}
            # Else micro-batches add up in half precision.
            result["data_types"] = {"grad_accum_dtype": "fp32"}
    return result
