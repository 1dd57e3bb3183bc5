"""One training run over several processes, as torchrun starts them: each trains on its part of every batch.

Gradients are averaged over the processes (Li et al., *PyTorch Distributed*, VLDB 2020), so all of them hold the same
weights; the first one checks, reports and writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn

from seg_perception.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among all that train together.

    Attributes:
        rank: its number; 0 is the one that checks, reports and writes.
        count: how many there are.
        device: what it computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def once(self, work: Callable[[], T]) -> T:
        """The result of work that only the first process does.

        When it fails, the first process raises what it raised, and the others end without a word of their own.
        """
        if self.count == 1:
            return work()
        outcome: list[Any] = [None]
        if self.first:
            try:
                outcome = [(True, work())]
            except BaseException:
                distributed.broadcast_object_list([(False, None)], 0)
                raise
        distributed.broadcast_object_list(outcome, 0)
        done, result = outcome[0]
        if not done:
            raise SystemExit(2)
        return result  # type: ignore[no-any-return]

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network to train: its gradients, and on GPUs its batch statistics, are those of the whole batch.

        PyTorch has no batch norm over several processes on the CPU; there each process estimates from its own part.
        """
        if self.count == 1:
            return network
        if self.device.type == "cpu":
            return nn.parallel.DistributedDataParallel(network)
        synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return nn.parallel.DistributedDataParallel(synchronised, device_ids=[self.device.index])

    def align(self, network: nn.Module) -> None:
        """Give all processes the first one's weights and statistics."""
        if self.count > 1:
            for value in network.state_dict().values():
                distributed.broadcast(value, 0)

    def total(self, values: NDArray[Any]) -> NDArray[Any]:
        """The sum of an array over all processes."""
        if self.count == 1:
            return values
        tensor = torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
        distributed.all_reduce(tensor)
        return np.asarray(tensor.cpu().numpy())


@contextmanager
def processes() -> Iterator[Processes]:
    """The processes that torchrun started, or this one alone.

    Raises:
        ConfigError: there are more processes on this machine than GPUs.
    """
    cuda = torch.cuda.is_available()
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, torch.device("cuda" if cuda else "cpu"))
        return
    local = int(os.environ["LOCAL_RANK"])
    if cuda and local >= torch.cuda.device_count():
        raise ConfigError(
            f"torchrun started more processes than there are GPUs ({torch.cuda.device_count()}); lower "
            "--nproc-per-node, or hide the GPUs with CUDA_VISIBLE_DEVICES='' to train on the CPU."
        )
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Processes(distributed.get_rank(), count, device)
    finally:
        distributed.destroy_process_group()
