"""What a replay is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seg_perception.inference.options import Backend
from seg_perception.model.card import Precision
from seg_perception.recordings.readers.recording import SourceOptions
from seg_perception.settings.pipeline import PipelineSettings


@dataclass(frozen=True)
class ReplayRequest:
    """What to replay, with what, to where.

    Attributes:
        source: a recording of any kind, as `open_recording` takes it.
        out: folder for result.mcap, summary.json and report.html; made if missing.
        model: ONNX file, its card beside it.
        matrix: cost matrix YAML.
        settings: ground and grid.
        options: how to read the recording.
        threads: CPU threads of the engine; None for one per core.
        backend: what runs the network.
        precision: what TensorRT computes it in.
        resume: go on with an interrupted run in `out`.
        command: the command line, for the report.
        started: time.monotonic() when the program began, for the time to the first result.
    """

    source: str
    out: Path
    model: Path
    matrix: Path
    settings: PipelineSettings
    options: SourceOptions
    threads: int | None
    backend: Backend
    precision: Precision
    resume: bool
    command: str
    started: float

    @property
    def result(self) -> Path:
        """The result bag."""
        return self.out / "result.mcap"

    @property
    def summary(self) -> Path:
        """Figures of the run."""
        return self.out / "summary.json"

    @property
    def report(self) -> Path:
        """The page."""
        return self.out / "report.html"

    @property
    def checkpoint(self) -> Path:
        """State of an unfinished run; removed at its end."""
        return self.out / "checkpoint.npz"

    @property
    def parts(self) -> Path:
        """Stretches of an unfinished run on several workers; removed at its end."""
        return self.out / "parts"
