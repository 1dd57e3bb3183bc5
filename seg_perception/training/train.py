"""The training loop: checks first, then AdamW with warm-up and cosine schedule, validation, exact resume."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seg_perception.errors import ConfigError
from seg_perception.model.card import ModelCard, file_sha256
from seg_perception.model.logit_calibration import UNCALIBRATED
from seg_perception.training.batches import (
    SampleSource,
    all_indices,
    epoch_indices,
    open_sample_source,
    samples_per_epoch,
    stack_batches,
    training_sample,
)
from seg_perception.training.checkpoint import load_checkpoint, save_checkpoint, settings_of
from seg_perception.training.distributed import DistributedContext
from seg_perception.training.losses.combined import TrainingLoss
from seg_perception.training.network.architecture import SegmentationNetwork, export_onnx
from seg_perception.training.network.spec import NetworkSpec
from seg_perception.training.network.warm_start import WarmStart, transfer_weights, unfold_batch_norms
from seg_perception.training.plan import MEAN, STD, TrainingPlan
from seg_perception.training.prefetch import prefetch
from seg_perception.training.preflight import run_preflight
from seg_perception.training.run_log import RunLog
from seg_perception.training.training_state import TrainingState, to_input
from seg_perception.training.validation import validate

_BATCH_NORM_IMAGES = 32  # training images on which the statistics of folded batch norms are measured
_PREFETCHED_BATCHES = 2  # batches that are prepared during a training step


@dataclass(frozen=True)
class TrainingResources:
    """Resources of the machine that a run may use; they do not change the result.

    Attributes:
        threads: that read and augment images.
        memory: bytes of images that each process keeps; a larger set is read from its files in every epoch.
        checkpoint_seconds: time between checkpoints within an epoch; another one is written after each epoch.
    """

    threads: int = min(os.cpu_count() or 1, 16)
    memory: float = 4e9
    checkpoint_seconds: float = 600.0


def train(
    plan: TrainingPlan,
    out: Path,
    resume: bool = False,
    start_from: Path | None = None,
    validate_every: int = 5,
    progress: Callable[[int, int, float], None] = lambda done, total, loss: None,
    report: Callable[[str], None] = print,
    checking: Callable[[int, int], None] = lambda done, total: None,
    context: DistributedContext | None = None,
    resources: TrainingResources | None = None,
) -> Path:
    """Train a network; write `out/checkpoint.pt`, a line per epoch in `out/log.jsonl`, and TensorBoard events.

    A resumed run gives the same result as an uninterrupted one: all random numbers depend on the seed and the position
    in the run alone.

    Args:
        plan: from `load_plan`.
        out: folder of the run, created if missing.
        resume: continue from `out/checkpoint.pt`.
        start_from: checkpoint or exported ONNX network for a warm start (fine-tuning); it may have other classes. The
            schedule starts from the beginning.
        validate_every: epochs between validations.
        progress: called after each step with steps done, total steps and loss.
        report: called with lines of text for the user.
        checking: called while the data are checked, with files done and total.
        context: the processes that train; this process alone when None.
        resources: what the run may use of the machine.

    Returns:
        The checkpoint's path.

    Raises:
        ConfigError: the data cannot be trained on, there is nothing to resume, a run is in `out` already, or the
            weights to start from are of another network.
        ModelError: the ONNX network to start from cannot be used.
    """
    context = context or DistributedContext(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    resources = resources or TrainingResources()
    checkpoint, size = out / "checkpoint.pt", (plan.width, plan.height)
    per_epoch = _steps_per_epoch(plan, context)
    with ThreadPoolExecutor(resources.threads) as pool:
        preflight = context.run_once(partial(run_preflight, plan, checkpoint, resume, start_from, pool, checking))
        source = open_sample_source(plan.train, size, resources.memory, pool)
        validation_source = open_sample_source(plan.validation, size, resources.memory, pool)
        state = TrainingState(
            plan, context, per_epoch * plan.epochs, partial(_warm_start, plan, preflight.warm_start, source)
        )
        if preflight.resumed is not None:
            state.restore(preflight.resumed)
        criterion = TrainingLoss(plan.losses, plan.space, preflight.counts, context.device)
        log = RunLog(out, state.step, state.step // per_epoch, report) if context.is_main else None
        if log is not None:
            log.notify(*preflight.notes)
        saved = time.monotonic()
        for epoch in range(state.step // per_epoch, plan.epochs):
            began = time.monotonic()
            state.train_mode()
            for images, labels in _batches(plan, source, epoch, state.step % per_epoch, context, pool):
                loss = state.train_step(images, labels, criterion)
                if log is not None:
                    progress(state.step, per_epoch * plan.epochs, loss)
                    log.step(state.step, loss, state.learning_rate)
                    # Not after the last step: a run resumed there would skip the end of the epoch.
                    if time.monotonic() - saved >= resources.checkpoint_seconds and state.step % per_epoch:
                        _save(checkpoint, state, plan)
                        saved = time.monotonic()
            entry: dict[str, Any] = {
                "epoch": epoch,
                "loss": float(context.sum_over_processes(np.array([state.loss_sum]))[0])
                / (per_epoch * context.world_size),
                "seconds": round(time.monotonic() - began, 1),
            }
            state.loss_sum = 0.0
            if (epoch + 1) % validate_every == 0 or epoch + 1 == plan.epochs:
                context.broadcast_weights(state.average)
                own = all_indices(plan.validation)[context.rank :: context.world_size]
                samples = prefetch(validation_source, own, pool)
                entry["iou"] = validate(state.average, samples, preflight.labels, plan.space, context)
            if log is not None:
                log.epoch(state.step, plan.epochs, entry)
                _save(checkpoint, state, plan)
        if log is not None:
            log.close()
    return checkpoint


def _steps_per_epoch(plan: TrainingPlan, context: DistributedContext) -> int:
    steps = sum(samples_per_epoch(dataset) for dataset in plan.train) // plan.batch
    if steps == 0:
        raise ConfigError(f"the training data hold fewer images than one batch of {plan.batch}; lower settings.batch.")
    if plan.batch % context.world_size:
        raise ConfigError(
            f"a batch of {plan.batch} cannot be shared evenly by {context.world_size} processes; change settings.batch "
            "or torchrun's --nproc-per-node."
        )
    return steps


def _batches(
    plan: TrainingPlan,
    source: SampleSource,
    epoch: int,
    first: int,
    context: DistributedContext,
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """This process's parts of the batches `first`, `first` + 1, ... of an epoch, without an incomplete last one."""
    indices = epoch_indices(plan.train, plan.seed, epoch)
    prepare = partial(
        training_sample, source, indices, crop=plan.crop, augmentation=plan.augmentation, seed=plan.seed, epoch=epoch
    )
    end = len(indices) // plan.batch * plan.batch
    positions = range(first * plan.batch + context.rank, end, context.world_size)
    part = plan.batch // context.world_size
    return stack_batches(prefetch(prepare, positions, pool, _PREFETCHED_BATCHES * part), part)


def _warm_start(
    plan: TrainingPlan, warm_start: WarmStart | None, source: SampleSource, network: SegmentationNetwork
) -> None:
    """Copy the weights of the warm start, if any, into a new network."""
    if warm_start is None:
        return
    if warm_start.folded:
        with ThreadPoolExecutor(1) as pool:
            single = DistributedContext(0, 1, torch.device("cpu"))
            views = _batches(plan, source, 0, 0, single, pool)
            measured = islice(views, -(-_BATCH_NORM_IMAGES // plan.batch))
            unfold_batch_norms(warm_start.network, (to_input(images, single.device) for images, _ in measured))
    transfer_weights(warm_start, network, plan.classes)


def _save(checkpoint: Path, state: TrainingState, plan: TrainingPlan) -> None:
    save_checkpoint(checkpoint, state.state() | {"classes": plan.classes, "settings": settings_of(plan)})


def export(checkpoint: Path, plan: TrainingPlan, name: str) -> Path:
    """Write the averaged weights of a checkpoint as ONNX, with a model card that is not calibrated yet.

    Args:
        checkpoint: from `train`.
        plan: the plan it was trained by.
        name: of the model; the files are named after it and lie next to the checkpoint.

    Returns:
        The ONNX file; the card has the suffix .yaml.
    """
    state = load_checkpoint(checkpoint)
    network = SegmentationNetwork(NetworkSpec(**state["spec"]))
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
        calibration={"fp32": UNCALIBRATED},
        sha256=file_sha256(model),
        training_data=plan.training_data,
        licence=plan.licence,
        measured={},
    )
    card.write(model.with_suffix(".yaml"))
    return model
