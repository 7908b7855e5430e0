"""The ranks of a run and what they tell each other: a thin layer over torch.distributed."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """This process among the ranks. `torch.distributed` is initialised, with gloo or nccl."""

    rank: int
    size: int
    local_rank: int
    device: torch.device

    @classmethod
    def current(cls) -> "World":
        """From torch.distributed and the environment that torchrun and Ray Train set."""
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        on_gpu = "nccl" in distributed.get_backend()  # A machine may have GPUs that this run was not given.
        device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        return cls(rank=distributed.get_rank(), size=distributed.get_world_size(), local_rank=local_rank, device=device)

    @property
    def is_main(self) -> bool:
        """Rank 0 writes what is written once."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums of the ranks' values, in fp64 on a CPU and on a GPU."""
        tensor = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        total: list[float] = tensor.tolist()
        return total

    def all_true(self, condition: bool) -> bool:
        """Whether it holds on every rank."""
        return self.sum([float(condition)])[0] == self.size

    def any_true(self, condition: bool) -> bool:
        """Whether it holds on at least one rank."""
        return self.sum([float(condition)])[0] > 0

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def broadcast_local(self, value: Any) -> Any:
        """The value of this node's local rank 0, on every rank of the node."""
        shares = self.gather((_node_name(), self.local_rank, value))
        return next(v for node, local_rank, v in shares if node == _node_name() and local_rank == 0)

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in rank order, on every rank.

        By broadcasts: gloo's all_gather copies in its own thread with OpenMP, and from then on, with more OpenMP
        threads than cores, every operation of the training waits asleep (1.6 times the time of a step on a CPU).
        """
        values: list[Any] = []
        for rank in range(self.size):
            box = [value if rank == self.rank else None]
            distributed.broadcast_object_list(box, src=rank)
            values.append(box[0])
        return values

    def barrier(self) -> None:
        """Waits until every rank is here."""
        self.sum([0.0])


def _node_name() -> str:
    return platform.node()
