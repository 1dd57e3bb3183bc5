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
    Source,
    all_places,
    epoch_places,
    epoch_share,
    open_source,
    stacked,
    training_sample,
)
from seg_perception.training.checkpoint import load_checkpoint, save_checkpoint, settings_of
from seg_perception.training.distributed import Processes
from seg_perception.training.losses.combined import TrainingLoss
from seg_perception.training.network.architecture import SegmentationNetwork, export_onnx
from seg_perception.training.network.spec import NetworkSpec
from seg_perception.training.network.warm_start import Trained, transfer, unfold_batch_norms
from seg_perception.training.plan import MEAN, STD, TrainingPlan
from seg_perception.training.prefetch import ahead
from seg_perception.training.preflight import get_ready
from seg_perception.training.run_log import RunLog
from seg_perception.training.training_state import Run, to_input
from seg_perception.training.validation import validate

_MEASURED = 32  # training images by which folded batch norms are unfolded
_AHEAD = 2  # batches that are prepared while one is trained on


@dataclass(frozen=True)
class Resources:
    """What a run may use of the machine; none of it changes what is learnt.

    Attributes:
        threads: that read and vary images.
        memory: bytes of images that each process keeps; a larger set is read from its files again and again.
        checkpoint_seconds: between checkpoints within an epoch; one more is written after each epoch.
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
    processes: Processes | None = None,
    resources: Resources | None = None,
) -> Path:
    """Train; keep `out/checkpoint.pt`, a line per epoch in `out/log.jsonl` and TensorBoard's events.

    A run that was killed and is resumed goes on as if nothing had happened: everything random is drawn from the seed
    and the place in the run.

    Args:
        plan: from `load_plan`.
        out: folder of the run, made if missing.
        resume: go on from `out/checkpoint.pt`.
        start_from: checkpoint or exported ONNX network whose weights to start from (fine-tuning); it may know other
            classes. Its schedule is not taken over.
        validate_every: epochs between validations.
        progress: called after each step with steps done, steps in all and the loss.
        report: called with a line of text now and then.
        checking: called while the data are checked, with files done and in all.
        processes: who trains; this process alone when None.
        resources: what the run may use of the machine.

    Returns:
        The checkpoint's path.

    Raises:
        ConfigError: the data cannot be trained on, there is nothing to resume, a run is in `out` already, or the
            weights to start from are of another network.
        ModelError: the ONNX network to start from cannot be used.
    """
    processes = processes or Processes(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    resources = resources or Resources()
    checkpoint, size = out / "checkpoint.pt", (plan.width, plan.height)
    per_epoch = _steps_per_epoch(plan, processes)
    with ThreadPoolExecutor(resources.threads) as pool:
        ready = processes.once(partial(get_ready, plan, checkpoint, resume, start_from, pool, checking))
        source = open_source(plan.train, size, resources.memory, pool)
        held_out = open_source(plan.validation, size, resources.memory, pool)
        run = Run(plan, processes, per_epoch * plan.epochs, partial(_begin, plan, ready.trained, source))
        if ready.resumed is not None:
            run.restore(ready.resumed)
        criterion = TrainingLoss(plan.losses, plan.space, ready.counts, processes.device)
        log = RunLog(out, run.step, run.step // per_epoch, report) if processes.first else None
        if log is not None:
            log.say(*ready.notes)
        saved = time.monotonic()
        for epoch in range(run.step // per_epoch, plan.epochs):
            began = time.monotonic()
            run.train_mode()
            for images, labels in _batches(plan, source, epoch, run.step % per_epoch, processes, pool):
                loss = run.train_step(images, labels, criterion)
                if log is not None:
                    progress(run.step, per_epoch * plan.epochs, loss)
                    log.step(run.step, loss, run.learning_rate)
                    # Not after the last step: a run that goes on there would miss the epoch's end.
                    if time.monotonic() - saved >= resources.checkpoint_seconds and run.step % per_epoch:
                        _save(checkpoint, run, plan)
                        saved = time.monotonic()
            entry: dict[str, Any] = {
                "epoch": epoch,
                "loss": float(processes.total(np.array([run.loss_sum]))[0]) / (per_epoch * processes.count),
                "seconds": round(time.monotonic() - began, 1),
            }
            run.loss_sum = 0.0
            if (epoch + 1) % validate_every == 0 or epoch + 1 == plan.epochs:
                processes.align(run.average)
                mine = all_places(plan.validation)[processes.rank :: processes.count]
                samples = ahead(held_out, mine, pool)
                entry["iou"] = validate(run.average, samples, ready.judged, plan.space, processes)
            if log is not None:
                log.epoch(run.step, plan.epochs, entry)
                _save(checkpoint, run, plan)
        if log is not None:
            log.close()
    return checkpoint


def _steps_per_epoch(plan: TrainingPlan, processes: Processes) -> int:
    steps = sum(epoch_share(dataset) for dataset in plan.train) // plan.batch
    if steps == 0:
        raise ConfigError(f"the training data hold fewer images than one batch of {plan.batch}; lower settings.batch.")
    if plan.batch % processes.count:
        raise ConfigError(
            f"a batch of {plan.batch} cannot be shared evenly by {processes.count} processes; change settings.batch or "
            "torchrun's --nproc-per-node."
        )
    return steps


def _batches(
    plan: TrainingPlan, source: Source, epoch: int, first: int, processes: Processes, pool: ThreadPoolExecutor
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """This process's parts of the batches `first`, `first` + 1, ... of an epoch; an incomplete last one is left out."""
    places = epoch_places(plan.train, plan.seed, epoch)
    prepare = partial(
        training_sample, source, places, crop=plan.crop, augmentation=plan.augmentation, seed=plan.seed, epoch=epoch
    )
    end = len(places) // plan.batch * plan.batch
    positions = range(first * plan.batch + processes.rank, end, processes.count)
    part = plan.batch // processes.count
    return stacked(ahead(prepare, positions, pool, _AHEAD * part), part)


def _begin(plan: TrainingPlan, trained: Trained | None, source: Source, network: SegmentationNetwork) -> None:
    """Put the weights of a trained network, if there is one, into a new one."""
    if trained is None:
        return
    if trained.folded:
        with ThreadPoolExecutor(1) as pool:
            alone = Processes(0, 1, torch.device("cpu"))
            views = _batches(plan, source, 0, 0, alone, pool)
            enough = islice(views, -(-_MEASURED // plan.batch))
            unfold_batch_norms(trained.network, (to_input(images, alone.device) for images, _ in enough))
    transfer(trained, network, plan.classes)


def _save(checkpoint: Path, run: Run, plan: TrainingPlan) -> None:
    save_checkpoint(checkpoint, run.state() | {"classes": plan.classes, "settings": settings_of(plan)})


def export(checkpoint: Path, plan: TrainingPlan, name: str) -> Path:
    """Write the averaged weights of a checkpoint as ONNX, with a model card that is not calibrated yet.

    Args:
        checkpoint: from `train`.
        plan: the plan it was trained by.
        name: of the model; the files are named after it and lie beside the checkpoint.

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
