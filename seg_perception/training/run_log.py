"""The log of a training run: a line of JSON per epoch, and TensorBoard events if that is installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_EVERY = 20  # steps between two losses in TensorBoard


class RunLog:
    """The log of one run, in `folder`.

    Args:
        folder: of the run.
        step: steps done before; TensorBoard events of later steps are removed.
        epoch: epochs done before; lines of later epochs are removed. A killed process may have logged an epoch that is
            not in its checkpoint.
        report: shows a line to the user.
    """

    def __init__(self, folder: Path, step: int, epoch: int, report: Callable[[str], None]) -> None:
        self._report = report
        self._lines = folder / "log.jsonl"
        kept = self._lines.read_text(encoding="utf-8").splitlines()[:epoch] if self._lines.is_file() else []
        self._lines.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        note = f"log: {self._lines}"
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError:
            note += "; for curves, pip install tensorboard"
        else:
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)
            note += f"; curves: tensorboard --logdir {folder}"
        self.notify(note)

    def notify(self, *lines: str) -> None:
        """Show lines to the user."""
        for line in lines:
            self._report(line)

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        """Log a training step."""
        if self._board is not None and step % _EVERY == 0:
            self._board.add_scalar("loss", loss, step)
            self._board.add_scalar("learning rate", learning_rate, step)

    def epoch(self, step: int, epochs: int, entry: Mapping[str, Any]) -> None:
        """Log an epoch.

        Args:
            step: steps done.
            epochs: in all.
            entry: the line for log.jsonl: epoch, loss, seconds and, after a validation, iou.
        """
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if self._board is not None:
            for name, score in entry.get("iou", {}).items():
                self._board.add_scalar(f"IoU/{name}", score, step)
            self._board.flush()
        mean = f", validation mIoU {entry['iou']['mean']:.4f}" if "iou" in entry else ""
        self.notify(f"epoch {entry['epoch'] + 1}/{epochs}: loss {entry['loss']:.4f}{mean} ({entry['seconds']} s)")

    def close(self) -> None:
        """Flush and close."""
        if self._board is not None:
            self._board.close()
