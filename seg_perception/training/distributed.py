"""Distributed training: torchrun starts several processes, and each trains on its part of every batch.

Gradients are averaged over the processes (Li et al., *PyTorch Distributed*, VLDB 2020), so all processes hold the same
weights. The main process, of rank 0, checks, reports and writes.
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
class DistributedContext:
    """This process within a distributed run.

    Attributes:
        rank: number of this process; 0 is the main process.
        world_size: number of processes.
        device: of this process.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that checks, reports and writes."""
        return self.rank == 0

    def run_once(self, work: Callable[[], T]) -> T:
        """Run `work` in the main process and return its result in all processes.

        If it fails, the exception is raised in the main process and the others exit silently with code 2.
        """
        if self.world_size == 1:
            return work()
        outcome: list[Any] = [None]
        if self.is_main:
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

    def wrap(self, network: nn.Module) -> nn.Module:
        """Wrap the network so that gradients, and on GPUs batch statistics, are those of the whole batch.

        On CPUs PyTorch cannot share batch statistics between processes; each process uses those of its own part.
        """
        if self.world_size == 1:
            return network
        if self.device.type == "cpu":
            return nn.parallel.DistributedDataParallel(network)
        synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return nn.parallel.DistributedDataParallel(synchronised, device_ids=[self.device.index])

    def broadcast_weights(self, network: nn.Module) -> None:
        """Copy weights and statistics of the main process to all others."""
        if self.world_size > 1:
            for value in network.state_dict().values():
                distributed.broadcast(value, 0)

    def sum_over_processes(self, values: NDArray[Any]) -> NDArray[Any]:
        """The sum of an array over all processes."""
        if self.world_size == 1:
            return values
        tensor = torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
        distributed.all_reduce(tensor)
        return np.asarray(tensor.cpu().numpy())


@contextmanager
def distributed_context() -> Iterator[DistributedContext]:
    """The context of a torchrun process group, or of this single process.

    Raises:
        ConfigError: there are more processes on this machine than GPUs.
    """
    cuda = torch.cuda.is_available()
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield DistributedContext(0, 1, torch.device("cuda" if cuda else "cpu"))
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
        yield DistributedContext(distributed.get_rank(), count, device)
    finally:
        distributed.destroy_process_group()
