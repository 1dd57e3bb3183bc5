"""The state of a training run: network, averaged network, optimiser and schedule, and one training step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seg_perception.training.distributed import DistributedContext
from seg_perception.training.network.architecture import SegmentationNetwork
from seg_perception.training.plan import MEAN, STD, TrainingPlan

_MOST_GRADIENT = 5.0  # norm at which gradients are clipped


def to_input(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 [N, 3, H, W] RGB to the normalised float32 that the network takes."""
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=device).view(1, 3, 1, 1)
    x = (torch.from_numpy(images).to(device).float() / 255.0 - mean) / std
    return x.contiguous(memory_format=torch.channels_last)


class TrainingState:
    """The state of a training run between two steps.

    Args:
        plan: of the training.
        context: the processes that train.
        steps: total number, for the schedule.
        initialise: called with the network first, to replace its random weights.

    Attributes:
        network: in training.
        average: the network with the mean of recent weights; it is validated and exported.
        step: steps done.
        loss_sum: sum of the losses since it was last reset to 0.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        context: DistributedContext,
        steps: int,
        initialise: Callable[[SegmentationNetwork], None] = lambda network: None,
    ) -> None:
        torch.manual_seed(plan.seed)
        self._plan = plan
        self._context = context
        self._device = context.device
        self.network = self._to_device(SegmentationNetwork(plan.network))
        initialise(self.network)
        self.average = self._to_device(SegmentationNetwork(plan.network)).eval()
        self._parallel = context.wrap(self.network)
        self.average.load_state_dict(self.network.state_dict())
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        rest = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        self._optimiser = torch.optim.AdamW(groups, lr=plan.learning_rate)
        warm_up = min(200, max(steps // 20, 1))

        def factor(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (1.0 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))

        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimiser, factor)
        self._precision = _half_precision(self._device)
        self._amp = plan.amp and _computes_in_half(self._device)
        # Half floats underflow where bfloat16 does not: their gradients are scaled (Micikevicius et al., ICLR 2018).
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._amp and self._precision == torch.float16)
        self.step = 0
        self.loss_sum = 0.0

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def train_mode(self) -> None:
        """Turn on dropout, and batch statistics unless the plan freezes them."""
        self.network.train()
        if self._plan.freeze_batch_norm:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def train_step(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        criterion: Callable[[Tensor, Tensor], Tensor],
    ) -> float:
        """One step on this process's part of a batch.

        Args:
            images: uint8 [B, 3, H, W] RGB.
            labels: uint8 [B, H, W].
            criterion: logits [B, K, h, w] and target int64 [B, H', W'] → loss.

        Returns:
            The loss of this part.
        """
        # Dropout depends on (seed, step, rank) alone, so a run can resume after any step.
        seeds = np.random.SeedSequence([self._plan.seed, self.step, self._context.rank])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        with self._autocast():
            logits = self._parallel(to_input(images, self._device))
        # Every second row and column carries nearly all of the gradient at a quarter of its cost. The offset changes
        # with every step, so that no pixel is left out.
        labels = labels[:, self.step % 2 :: 2, (self.step // 2) % 2 :: 2]
        loss = criterion(logits, torch.from_numpy(labels.astype(np.int64)).to(self._device))
        self._optimiser.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), _MOST_GRADIENT)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._schedule.step()
        self.step += 1
        self._update_average()
        value = float(loss.detach())
        self.loss_sum += value
        return value

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows quickly; later it spans about 1000 steps (Polyak and Juditsky, 1992).
        keep = min(0.999, (1.0 + self.step) / (10.0 + self.step))
        for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1.0 - keep)
            else:
                mean.copy_(value)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device.type, self._precision, enabled=self._amp)

    def _to_device(self, network: SegmentationNetwork) -> SegmentationNetwork:
        return network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, for a checkpoint."""
        return {
            "spec": asdict(self.network.spec),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "step": self.step,
            "loss_sum": self.loss_sum,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
        self.step = int(state["step"])
        self.loss_sum = float(state["loss_sum"])


def _half_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware has it (CPUs, and GPUs from Ampere on), float16 on older GPUs."""
    old = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] < 8
    return torch.float16 if old else torch.bfloat16


def _computes_in_half(device: torch.device) -> bool:
    """Whether half precision saves time: a CPU without AVX-512 emulates bfloat16, several times slower than float32."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
