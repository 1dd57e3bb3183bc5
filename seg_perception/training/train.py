"""The training loop: AdamW, warm-up and cosine schedule, averaged weights, validation, exact resume."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seg_perception.errors import ConfigError
from seg_perception.evaluation.labels import JudgedLabels
from seg_perception.evaluation.segmentation import confusion_matrix, iou_per_class
from seg_perception.model_card import ModelCard, file_sha256
from seg_perception.training.data import (
    LabelSpace,
    Sample,
    epoch_batches,
    load_all,
)
from seg_perception.training.losses import combined, label_log_probabilities
from seg_perception.training.network import NetworkSpec, SegmentationNetwork, export_onnx
from seg_perception.training.plan import MEAN, STD, TrainingPlan


def class_weights(samples: Sequence[Sequence[Sample]], space: LabelSpace) -> Tensor:
    """Mild balance: weight ∝ frequency^(−1/4), mean 1 over pixels, at most 4.

    Full inverse frequency makes rare classes hallucinate and ruins calibration; none lets a short run forget them.

    Returns:
        float32 [K+G].
    """
    labels = len(space.classes) + len(space.groups)
    counts = np.zeros(256, np.int64)
    for dataset in samples:
        for sample in dataset:
            counts += np.bincount(sample.label.ravel(), minlength=256)
    share = counts[:labels] / max(counts[:labels].sum(), 1)
    weight = np.maximum(share, 1e-4) ** -0.25
    weight = np.minimum(weight / (share * weight).sum(), 4.0)
    return torch.tensor(weight, dtype=torch.float32)


def to_input(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 [N, 3, H, W] RGB to the normalised float32 that the network takes."""
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=device).view(1, 3, 1, 1)
    x = (torch.from_numpy(images).to(device).float() / 255.0 - mean) / std
    return x.contiguous(memory_format=torch.channels_last)


class _Run:
    """Network, averaged copy, optimiser and schedule of one run."""

    def __init__(self, plan: TrainingPlan, device: torch.device, steps: int) -> None:
        torch.manual_seed(plan.seed)
        spec = NetworkSpec(len(plan.classes))
        self.device = device
        self.network = SegmentationNetwork(spec).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = SegmentationNetwork(spec).to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.average.load_state_dict(self.network.state_dict())
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        rest = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=plan.learning_rate)
        warm_up = min(200, max(steps // 20, 1))

        def factor(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (1.0 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, factor)
        self.step = 0

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows quickly; later it spans about 1000 steps (Polyak and Juditsky, 1992).
        keep = min(0.999, (1.0 + self.step) / (10.0 + self.step))
        for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1.0 - keep)
            else:
                mean.copy_(value)

    def train_step(
        self, images: NDArray[np.uint8], labels: NDArray[np.uint8], plan: TrainingPlan, weight: Tensor
    ) -> float:
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.network(to_input(images, self.device))
        # Half the pixels' rows and columns carry nearly all of the gradient at a quarter of its cost; which half
        # changes with every step, so no offset creeps in.
        labels = labels[:, self.step % 2 :: 2, (self.step // 2) % 2 :: 2]
        target = torch.from_numpy(labels.astype(np.int64)).to(self.device)
        loss = combined(logits, target, plan.space.groups, plan.losses, weight)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        return {
            "spec": asdict(self.network.spec),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "step": self.step,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.step = int(state["step"])


@torch.no_grad()
def validate(
    network: SegmentationNetwork, samples: Sequence[Sequence[Sample]], labels: JudgedLabels, space: LabelSpace
) -> dict[str, float]:
    """IoU per label of the validation data and their mean, by the rule of `evaluation.labels`.

    Returns:
        Label name → IoU, and "mean".
    """
    device = next(network.parameters()).device
    network.eval()
    total = np.zeros((len(labels.names), len(labels.names)), np.int64)
    for dataset in samples:
        for sample in dataset:
            logits = network(to_input(sample.image.transpose(2, 0, 1)[None].copy(), device))
            full = torch.nn.functional.interpolate(
                logits, size=sample.label.shape, mode="bilinear", align_corners=False
            )
            log_q = label_log_probabilities(full, space.groups)[0, list(labels.numbers)]
            decided = log_q.argmax(0).cpu().numpy()
            total += confusion_matrix(labels.renumber(sample.label), decided, len(labels.names))
    scores = iou_per_class(total)
    return dict(zip(labels.names, scores.tolist(), strict=True)) | {"mean": float(np.nanmean(scores))}


def train(
    plan: TrainingPlan,
    out: Path,
    resume: bool = False,
    start_from: Path | None = None,
    validate_every: int = 5,
    progress: Callable[[int, int, float], None] = lambda done, total, loss: None,
    report: Callable[[str], None] = print,
) -> Path:
    """Train; write `out/checkpoint.pt` after every epoch and a line per validation to `out/log.jsonl`.

    An interrupted run resumed with the same plan goes on as if nothing had happened: everything random is drawn from
    (seed, epoch).

    Args:
        plan: from `load_plan`.
        out: folder of the run, made if missing.
        resume: go on from `out/checkpoint.pt`.
        start_from: checkpoint whose weights to start from (fine-tuning); its schedule is not taken over.
        validate_every: epochs between validations.
        progress: called after each step with steps done, steps in all and the loss.
        report: called with a line of text per epoch.

    Returns:
        The checkpoint's path.

    Raises:
        ConfigError: nothing to resume, or the checkpoint is of another network.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    samples = load_all(plan.train, (plan.width, plan.height))
    held_out = load_all(plan.validation, (plan.width, plan.height))
    # Before the first step: labels that cannot be judged must not cost anyone a night.
    judged = JudgedLabels.of((sample.label for dataset in held_out for sample in dataset), plan.space)
    shares = [dataset.share for dataset in plan.train]
    per_epoch = sum(round(len(part) * share) for part, share in zip(samples, shares, strict=True)) // plan.batch
    if per_epoch == 0:
        raise ConfigError(f"the training data hold fewer images than one batch of {plan.batch}; lower settings.batch.")
    run = _Run(plan, device, per_epoch * plan.epochs)
    weight = class_weights(samples, plan.space).to(device)
    first = 0
    if resume:
        state = _load_checkpoint(checkpoint, plan)
        run.restore(state)
        first = int(state["epoch"]) + 1
    elif start_from is not None:
        state = _load_checkpoint(start_from, plan)
        run.network.load_state_dict(state["average"])
        run.average.load_state_dict(state["average"])
    for epoch in range(first, plan.epochs):
        began = time.monotonic()
        rng = np.random.default_rng([plan.seed, epoch])
        torch.manual_seed(plan.seed * 1_000_003 + epoch)
        run.network.train()
        losses = []
        for images, labels in epoch_batches(samples, shares, plan.crop, plan.batch, rng):
            losses.append(run.train_step(images, labels, plan, weight))
            progress(run.step, per_epoch * plan.epochs, losses[-1])
        entry: dict[str, Any] = {
            "epoch": epoch,
            "loss": float(np.mean(losses)),
            "seconds": round(time.monotonic() - began, 1),
        }
        if (epoch + 1) % validate_every == 0 or epoch + 1 == plan.epochs:
            entry["iou"] = validate(run.average, held_out, judged, plan.space)
        _save(checkpoint, run.state() | {"epoch": epoch, "classes": plan.classes})
        with (out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        mean = f", validation mIoU {entry['iou']['mean']:.4f}" if "iou" in entry else ""
        report(f"epoch {epoch + 1}/{plan.epochs}: loss {entry['loss']:.4f}{mean} ({entry['seconds']} s)")
    return checkpoint


def _save(path: Path, state: Mapping[str, Any]) -> None:
    # Written aside and renamed, so that a kill in between leaves the last good checkpoint.
    aside = path.with_suffix(".tmp")
    torch.save(dict(state), aside)
    aside.replace(path)


def _load_checkpoint(path: Path, plan: TrainingPlan) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"{path}: no checkpoint there; start without --resume or correct the path.")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if tuple(state["classes"]) != plan.classes:
        raise ConfigError(
            f"{path}: was trained for other classes ({', '.join(state['classes'])}); train anew or correct the YAML."
        )
    return state


def export(checkpoint: Path, plan: TrainingPlan, name: str) -> Path:
    """Write the averaged weights of a checkpoint as ONNX, with a model card that is not calibrated yet.

    Args:
        checkpoint: from `train`.
        plan: the plan it was trained by.
        name: of the model; the files are named after it and lie beside the checkpoint.

    Returns:
        The ONNX file; the card has the suffix .yaml.
    """
    state = _load_checkpoint(checkpoint, plan)
    network = SegmentationNetwork(NetworkSpec(len(plan.classes)))
    network.load_state_dict(state["average"])
    model = checkpoint.with_name(f"{name}.onnx")
    export_onnx(network, model, plan.width, plan.height)
    card = ModelCard(
        name=name,
        classes=plan.classes,
        colours=np.array(plan.colours, np.uint8),
        width=plan.width,
        height=plan.height,
        channel_order="rgb",
        mean=MEAN,
        std=STD,
        output="logits",
        temperature=1.0,
        sha256=file_sha256(model),
        training_data=plan.training_data,
        licence=plan.licence,
        measured={},
    )
    card.write(model.with_suffix(".yaml"))
    return model
